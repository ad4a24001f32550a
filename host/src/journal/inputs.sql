-- What the engine was told, as little of it as `checkd replay` needs to decide everything again. A segment
-- begins when a daemon does, when it takes another configuration, and now and then: with all that the
-- engine knew then. Steady passes are not here, they are counted in `run`. For checkd itself; a journal
-- that an older checkd began gets these tables when this one opens it.

-- Of a configuration what decisions rest on, by the SHA-256 of it.
CREATE TABLE IF NOT EXISTS plan (
  print   TEXT    PRIMARY KEY,
  value   TEXT    NOT NULL
) WITHOUT ROWID;

-- Rows of this daemon with a seq between this one's and `end_seq` follow from it; `lost_seq`: from there on
-- something was lost. Without a state it was too much to be written down.
CREATE TABLE IF NOT EXISTS segment (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  daemon   INTEGER NOT NULL,
  seq      INTEGER NOT NULL,
  why      TEXT    NOT NULL,
  at_ms    INTEGER NOT NULL,
  wall_ms  INTEGER NOT NULL,
  plan     TEXT    NOT NULL,
  end_seq  INTEGER,
  lost_seq INTEGER,
  state    TEXT
);

CREATE TABLE IF NOT EXISTS input (
  segment INTEGER NOT NULL,
  seq     INTEGER NOT NULL,
  value   TEXT    NOT NULL,
  PRIMARY KEY (segment, seq)
) WITHOUT ROWID;
