//! `pmon demo`: a fleet, load and the monitor in a home of its own.
