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
