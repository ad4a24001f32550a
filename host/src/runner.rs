//! Runs checks under a deadline; one run in flight per check and member.
