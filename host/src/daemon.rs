//! One loop owns the engine; everything else sends it events.
