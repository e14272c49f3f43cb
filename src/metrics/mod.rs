//! Samples of the host and of process trees.
