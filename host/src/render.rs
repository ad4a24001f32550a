//! Diagnostics as terminal text.
