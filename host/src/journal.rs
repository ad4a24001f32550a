//! SQLite storage of journal entries: intent before an act, outcome after.
