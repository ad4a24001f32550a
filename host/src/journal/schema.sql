-- Version 1 of the journal. Tables are written by checkd; the views are for people.
-- Times: at_ms is milliseconds since boot (of the boot in `daemon`), wall_ms is milliseconds since 1970.
-- seq orders what one daemon wrote within one millisecond.

CREATE TABLE daemon (
  id       INTEGER PRIMARY KEY,
  wall_ms  INTEGER NOT NULL,
  pid      INTEGER NOT NULL,
  boot     TEXT    NOT NULL,
  version  TEXT    NOT NULL
);

CREATE TABLE run (
  id          INTEGER PRIMARY KEY,
  seq         INTEGER NOT NULL,
  daemon      INTEGER NOT NULL,
  group_name  TEXT    NOT NULL,
  member      TEXT,
  check_name  TEXT    NOT NULL,
  status      TEXT    NOT NULL,
  cause       TEXT,
  message     TEXT    NOT NULL,
  measured    TEXT,
  took_ms     INTEGER,
  pid         INTEGER,
  at_ms       INTEGER NOT NULL,
  wall_ms     INTEGER NOT NULL,
  count       INTEGER NOT NULL DEFAULT 1,
  first_at_ms INTEGER NOT NULL,
  largest_gap_ms INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX run_by_wall ON run (wall_ms);

-- A row without a member (an empty one) is about the whole group.
CREATE TABLE transition (
  id          INTEGER PRIMARY KEY,
  seq         INTEGER NOT NULL,
  daemon      INTEGER NOT NULL,
  group_name  TEXT    NOT NULL,
  member      TEXT    NOT NULL,
  axis        TEXT    NOT NULL,
  from_word   TEXT    NOT NULL,
  to_word     TEXT    NOT NULL,
  why         TEXT    NOT NULL,
  incident    INTEGER,
  at_ms       INTEGER NOT NULL,
  wall_ms     INTEGER NOT NULL
);
CREATE INDEX transition_by_wall ON transition (wall_ms);

CREATE TABLE decision (
  id          INTEGER PRIMARY KEY,
  seq         INTEGER NOT NULL,
  daemon      INTEGER NOT NULL,
  group_name  TEXT    NOT NULL,
  member      TEXT    NOT NULL,
  step        TEXT    NOT NULL,
  verdict     TEXT    NOT NULL,
  because     TEXT    NOT NULL,
  closed      TEXT    NOT NULL,
  explanation TEXT    NOT NULL,
  intent      INTEGER,
  incident    INTEGER,
  at_ms       INTEGER NOT NULL,
  wall_ms     INTEGER NOT NULL
);
CREATE INDEX decision_by_wall ON decision (wall_ms);

CREATE TABLE action (
  intent      INTEGER PRIMARY KEY,
  seq         INTEGER NOT NULL,
  daemon      INTEGER NOT NULL,
  group_name  TEXT    NOT NULL,
  member      TEXT    NOT NULL,
  act         TEXT    NOT NULL,
  pid         INTEGER,
  why         TEXT    NOT NULL,
  incident    INTEGER,
  at_ms       INTEGER NOT NULL,
  wall_ms     INTEGER NOT NULL,
  outcome     TEXT,
  detail      TEXT,
  outcome_at_ms   INTEGER,
  outcome_wall_ms INTEGER,
  outcome_seq     INTEGER
);
CREATE INDEX action_by_wall ON action (wall_ms);

CREATE TABLE operator (
  id          INTEGER PRIMARY KEY,
  seq         INTEGER NOT NULL,
  daemon      INTEGER NOT NULL,
  group_name  TEXT    NOT NULL,
  member      TEXT    NOT NULL,
  by          TEXT    NOT NULL,
  command     TEXT    NOT NULL,
  detail      TEXT    NOT NULL,
  at_ms       INTEGER NOT NULL,
  wall_ms     INTEGER NOT NULL
);
CREATE INDEX operator_by_wall ON operator (wall_ms);

-- The last known life of each member: what a new daemon adopts.
CREATE TABLE life (
  group_name  TEXT    NOT NULL,
  member      TEXT    NOT NULL,
  boot        TEXT    NOT NULL,
  pid         INTEGER NOT NULL,
  start       INTEGER NOT NULL,
  wall_ms     INTEGER NOT NULL,
  ended_wall_ms INTEGER,
  exit        TEXT,
  PRIMARY KEY (group_name, member)
) WITHOUT ROWID;

-- What the engine knows of each member that must outlive the daemon: its streaks, its ledger, its
-- attempt in flight. As durable as the newest intent; the value is for checkd itself.
CREATE TABLE kept (
  path        TEXT    PRIMARY KEY,
  boot        TEXT    NOT NULL,
  wall_ms     INTEGER NOT NULL,
  value       TEXT    NOT NULL
) WITHOUT ROWID;

CREATE VIEW runs AS SELECT
  strftime('%Y-%m-%dT%H:%M:%fZ', wall_ms / 1000.0, 'unixepoch') AS time,
  group_name, member, check_name, status, cause, message, measured, took_ms, pid,
  count, strftime('%Y-%m-%dT%H:%M:%fZ', (wall_ms - (at_ms - first_at_ms)) / 1000.0, 'unixepoch') AS first_time,
  largest_gap_ms, wall_ms, daemon
FROM run;

CREATE VIEW transitions AS SELECT
  strftime('%Y-%m-%dT%H:%M:%fZ', wall_ms / 1000.0, 'unixepoch') AS time,
  group_name, nullif(member, '') AS member, axis, from_word, to_word, why, incident, wall_ms, daemon
FROM transition;

CREATE VIEW decisions AS SELECT
  strftime('%Y-%m-%dT%H:%M:%fZ', wall_ms / 1000.0, 'unixepoch') AS time,
  group_name, member, step, CASE WHEN intent IS NULL THEN 'refused' ELSE 'decided' END AS decision,
  verdict, because, closed, explanation, intent, incident, wall_ms, daemon
FROM decision;

CREATE VIEW actions AS SELECT
  strftime('%Y-%m-%dT%H:%M:%fZ', wall_ms / 1000.0, 'unixepoch') AS time,
  intent, group_name, member, act, pid, why, outcome, detail,
  strftime('%Y-%m-%dT%H:%M:%fZ', outcome_wall_ms / 1000.0, 'unixepoch') AS outcome_time,
  incident, wall_ms, outcome_wall_ms, daemon
FROM action;

CREATE VIEW operators AS SELECT
  strftime('%Y-%m-%dT%H:%M:%fZ', wall_ms / 1000.0, 'unixepoch') AS time,
  group_name, member, by, command, detail, wall_ms, daemon
FROM operator;
