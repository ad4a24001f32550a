//! The check kind `memory`.
