//! The holder: its protocol, its loop, its table, and `Link`, the daemon's end.
