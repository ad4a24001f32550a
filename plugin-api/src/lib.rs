//! All that the author of a check imports.
