//! Node's child channel and cluster protocol, spoken by the daemon.
