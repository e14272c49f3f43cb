//! Real pipes, real files, real kills.
