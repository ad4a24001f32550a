//! One run in flight per leaf, one sample per run, whatever becomes of it.
