//! The shell round the core.
