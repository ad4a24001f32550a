//! The keeper on real processes.
