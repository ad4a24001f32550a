//! What is due at `now`, and when to wake next.
