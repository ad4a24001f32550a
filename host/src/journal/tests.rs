//! Entries go in, rows come out.
