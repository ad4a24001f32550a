//! The check kind `http`.
