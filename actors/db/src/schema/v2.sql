-- Version 2.

-- The message of each incident in Slack, which later steps edit; by the way of its own route or of another.
CREATE TABLE slack_thread (
    route TEXT NOT NULL,
    opened INTEGER NOT NULL,
    via TEXT NOT NULL,         -- the route by whose way it was sent
    channel TEXT NOT NULL,
    ts TEXT NOT NULL,
    payload TEXT NOT NULL,     -- JSON: what it says
    PRIMARY KEY (route, opened, via)
) STRICT, WITHOUT ROWID;

-- Ways to Slack that fail.
CREATE TABLE slack_outage (
    route TEXT PRIMARY KEY,
    since INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    retry_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The next message of each route.
CREATE INDEX outbox_route ON outbox (route, id) WHERE sent IS NULL;
DROP INDEX outbox_pending;

-- Which tasks of a stretch of history were created, and how they ended: looked up by what they are to do. The uid
-- is at the end of every index, so the newest attempt comes last.
CREATE INDEX task_info ON task (queue, info);

-- Stretches of history that are or were filled.
CREATE TABLE backload (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    requested INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    state INTEGER NOT NULL,    -- 0 running, 1 paused, 2 cancelled, 3 done
    total INTEGER NOT NULL,
    next INTEGER NOT NULL,     -- the number of the first task that wasn't dealt with
    created INTEGER NOT NULL DEFAULT 0,
    skipped INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    digest INTEGER NOT NULL,   -- of its rows
    request TEXT NOT NULL,     -- JSON, resolved
    message TEXT NOT NULL,
    problem TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX backload_unfinished ON backload (id) WHERE state < 2;

-- The first tasks of each that could not be created.
CREATE TABLE backload_failure (
    backload INTEGER NOT NULL REFERENCES backload (id),
    number INTEGER NOT NULL,
    time INTEGER,
    why TEXT NOT NULL,
    PRIMARY KEY (backload, number)
) STRICT, WITHOUT ROWID;

-- Who may use the API.
CREATE TABLE token (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,  -- SHA-256 of 256 random bits
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Files that were heard of. Nothing wrote the table of version 1.
DROP TABLE file_event;
CREATE TABLE file_event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    source INTEGER NOT NULL,   -- 0 a client, 1 a watched place
    path TEXT NOT NULL,
    version TEXT NOT NULL,     -- tells versions of a path apart; empty when nothing does
    stat TEXT NOT NULL,        -- JSON
    ignored TEXT NOT NULL      -- why it starts nothing; empty when it may
) STRICT;
CREATE INDEX file_event_at ON file_event (at);
CREATE INDEX file_event_path ON file_event (path);

-- A phase that files start.
CREATE TABLE file_phase (
    id INTEGER PRIMARY KEY,
    workflow TEXT NOT NULL,
    task TEXT NOT NULL,
    pattern TEXT NOT NULL,
    nth INTEGER NOT NULL,
    UNIQUE (workflow, task, pattern, nth)
) STRICT;

-- What an event did to each phase that takes its file.
CREATE TABLE file_match (
    event INTEGER NOT NULL REFERENCES file_event (id) ON DELETE CASCADE,
    phase INTEGER NOT NULL REFERENCES file_phase (id),
    state INTEGER NOT NULL,    -- 0 started, 1 waiting for others, 2 repeated, 3 failed
    uid INTEGER,               -- task.uid; may be gone
    why TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (event, phase)
) STRICT, WITHOUT ROWID;
CREATE INDEX file_waiting ON file_match (phase, event) WHERE state = 1;

-- Watched places, and the files that were seen there.
CREATE TABLE file_place (
    id INTEGER PRIMARY KEY,
    location TEXT NOT NULL UNIQUE,
    since INTEGER              -- new files start tasks since then; none before the first look was finished
) STRICT;
CREATE TABLE file_seen (
    place INTEGER NOT NULL REFERENCES file_place (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    etag TEXT NOT NULL,
    PRIMARY KEY (place, path)
) STRICT, WITHOUT ROWID;
