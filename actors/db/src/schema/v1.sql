-- Version 1. Times are microseconds since 1970, UTC. An attempt's uid is its creation instant, so a day is a
-- range of uids and needs no index of its own.

-- Topic and job: what tasks queue up for.
CREATE TABLE queue (
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    job TEXT NOT NULL,
    UNIQUE (topic, job)
) STRICT;

-- Texts that repeat: workflow files, workers.
CREATE TABLE name (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;

-- One row an attempt. What changes comes first, so that a change needn't read past the texts.
CREATE TABLE task (
    uid INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL REFERENCES queue (id),
    state INTEGER NOT NULL,    -- 0 ready, 1 delayed, 2 leased, 3 done
    lane INTEGER NOT NULL,     -- 0 live, 1 backload
    due INTEGER NOT NULL,      -- ready since, delayed until, leased until, or ended at
    lease INTEGER,             -- the secret of the last hand-out; none after a release
    delivery INTEGER NOT NULL, -- how often it was handed out
    expired INTEGER NOT NULL,  -- how often a lease of it ran out
    retry INTEGER NOT NULL,    -- attempts of the same task before this one
    worker INTEGER,            -- name.id
    workflow INTEGER,          -- name.id
    parent INTEGER,            -- task.uid; may be gone
    result INTEGER,            -- 0 complete, 1 error, 2 warn, 3 alert
    progress REAL,
    started INTEGER,
    ended INTEGER,
    chain TEXT NOT NULL,
    info TEXT NOT NULL,
    meta TEXT NOT NULL,
    msg TEXT NOT NULL
) STRICT;
CREATE INDEX task_ready ON task (queue, lane, due) WHERE state = 0;
CREATE INDEX task_delayed ON task (due) WHERE state = 1;
CREATE INDEX task_leased ON task (due) WHERE state = 2;
CREATE INDEX task_chain ON task (chain);

-- A phase that cron starts, and each of its slots: started by a task, or missed.
CREATE TABLE phase (
    id INTEGER PRIMARY KEY,
    workflow TEXT NOT NULL,
    task TEXT NOT NULL,
    UNIQUE (workflow, task)
) STRICT;
CREATE TABLE cron (
    phase INTEGER NOT NULL REFERENCES phase (id),
    text TEXT NOT NULL,
    since INTEGER NOT NULL,    -- counts from then on
    PRIMARY KEY (phase, text)
) STRICT, WITHOUT ROWID;
CREATE TABLE slot (
    phase INTEGER NOT NULL REFERENCES phase (id),
    at INTEGER NOT NULL,
    started INTEGER,           -- task.uid of the first task; none when missed
    PRIMARY KEY (phase, at)
) STRICT, WITHOUT ROWID;
CREATE INDEX slot_at ON slot (at);

-- What was created and how it ended, by hour of creation, so that a day's totals never read the day's rows.
CREATE TABLE rollup (
    hour INTEGER NOT NULL,     -- hours since 1970
    queue INTEGER NOT NULL REFERENCES queue (id),
    total INTEGER NOT NULL,
    complete INTEGER NOT NULL,
    error INTEGER NOT NULL,
    alert INTEGER NOT NULL,
    warn INTEGER NOT NULL,
    run_millis INTEGER NOT NULL,
    PRIMARY KEY (hour, queue)
) STRICT, WITHOUT ROWID;

CREATE TABLE alert (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind INTEGER NOT NULL,
    at INTEGER NOT NULL,
    uid INTEGER,
    queue INTEGER NOT NULL REFERENCES queue (id),
    workflow INTEGER,          -- name.id
    told INTEGER NOT NULL,     -- 1: not for the next summary, told at once or within its own step
    at_once INTEGER NOT NULL,
    task_time INTEGER,
    chain TEXT NOT NULL,
    msg TEXT NOT NULL
) STRICT;
CREATE INDEX alert_at ON alert (at);

-- How each route's ladder stands, and what it opened.
CREATE TABLE ladder (
    route TEXT PRIMARY KEY,
    state TEXT NOT NULL,       -- JSON
    told_until INTEGER NOT NULL,
    unfinished_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE incident (
    route TEXT NOT NULL,
    opened INTEGER NOT NULL,
    closed INTEGER,
    alerts INTEGER NOT NULL,
    PRIMARY KEY (route, opened)
) STRICT, WITHOUT ROWID;

-- What Slack is to be told, in order.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    route TEXT NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL UNIQUE,
    attempts INTEGER NOT NULL DEFAULT 0,
    uncertain INTEGER NOT NULL DEFAULT 0,
    retry_at INTEGER,
    sent INTEGER,
    error TEXT,
    payload TEXT NOT NULL      -- JSON
) STRICT;
CREATE INDEX outbox_pending ON outbox (id) WHERE sent IS NULL;

CREATE TABLE workflow (
    path TEXT PRIMARY KEY,
    changed INTEGER NOT NULL,
    hash TEXT NOT NULL,        -- of the content looked at last
    problem TEXT NOT NULL,     -- why that doesn't load; empty when it does
    content TEXT NOT NULL      -- the last good one
) STRICT, WITHOUT ROWID;

CREATE TABLE file_event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    path TEXT NOT NULL,
    stat TEXT NOT NULL,        -- JSON as it came
    tasks TEXT NOT NULL        -- uids of what it started, JSON
) STRICT;
CREATE INDEX file_event_at ON file_event (at);

CREATE TABLE idempotency (
    key TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    digest INTEGER NOT NULL,
    uids BLOB NOT NULL         -- 8 bytes each, big endian
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_at ON idempotency (at);
