//! From a worker's pipe to its file, and to subscribers.
