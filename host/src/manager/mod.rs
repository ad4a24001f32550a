//! Process managers: who is in a group, and how to start, stop and signal them.
