//! Arguments, verbs, output.
