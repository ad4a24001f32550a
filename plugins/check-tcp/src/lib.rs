//! The check kind `tcp`.
