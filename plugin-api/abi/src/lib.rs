//! The frozen, append-only types that cross the border between checkd and a loaded plugin.
