-- A database of version 6, as that program left it. Never edited: it is what people have.
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
, route INTEGER, silence INTEGER) STRICT;
INSERT INTO alert VALUES (1, 0, 1772366400000000, 1772366400000000, 1, 1, 1, 0, 1772366400000000, 'chain-1', 'no disk', NULL, NULL);
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
, finished INTEGER, unsuccessful INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO backload VALUES (1, 1772366400000000, 1772366400000000, 1, 10, 4, 3, 1, 0, 9, '{}', 'half way', '', NULL, 0);
CREATE TABLE backload_failure (
    backload INTEGER NOT NULL REFERENCES backload (id),
    number INTEGER NOT NULL,
    time INTEGER,
    why TEXT NOT NULL,
    PRIMARY KEY (backload, number)
) STRICT, WITHOUT ROWID;
INSERT INTO backload_failure VALUES (1, 3, NULL, 'no meta');
CREATE TABLE breach (
    key TEXT PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE change (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    source TEXT NOT NULL,      -- an address, or where else it came from
    what TEXT NOT NULL,
    detail TEXT NOT NULL,
    status INTEGER NOT NULL
, action TEXT NOT NULL DEFAULT 'other') STRICT;
CREATE TABLE cron (
    phase INTEGER NOT NULL REFERENCES phase (id),
    text TEXT NOT NULL,
    since INTEGER NOT NULL,    -- counts from then on
    PRIMARY KEY (phase, text)
) STRICT, WITHOUT ROWID;
INSERT INTO cron VALUES (1, '0 * * * *', 1772362800000000);
CREATE TABLE file_event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    source INTEGER NOT NULL,   -- 0 a client, 1 a watched place
    path TEXT NOT NULL,
    version TEXT NOT NULL,     -- tells versions of a path apart; empty when nothing does
    stat TEXT NOT NULL,        -- JSON
    ignored TEXT NOT NULL      -- why it starts nothing; empty when it may
) STRICT;
INSERT INTO file_event VALUES (1, 1772366400000000, 0, 's3://a/b', 'v', '{}', '');
CREATE TABLE file_match (
    event INTEGER NOT NULL REFERENCES file_event (id) ON DELETE CASCADE,
    phase INTEGER NOT NULL REFERENCES file_phase (id),
    state INTEGER NOT NULL,    -- 0 started, 1 waiting for others, 2 repeated, 3 failed
    uid INTEGER,               -- task.uid; may be gone
    why TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (event, phase)
) STRICT, WITHOUT ROWID;
INSERT INTO file_match VALUES (1, 1, 0, 1772366409000001, '');
CREATE TABLE file_phase (
    id INTEGER PRIMARY KEY,
    workflow TEXT NOT NULL,
    task TEXT NOT NULL,
    pattern TEXT NOT NULL,
    nth INTEGER NOT NULL,
    UNIQUE (workflow, task, pattern, nth)
) STRICT;
INSERT INTO file_phase VALUES (1, 'etl/daily.toml', 'load', 's3://a/*', 0);
CREATE TABLE file_place (
    id INTEGER PRIMARY KEY,
    location TEXT NOT NULL UNIQUE,
    since INTEGER              -- new files start tasks since then; none before the first look was finished
) STRICT;
INSERT INTO file_place VALUES (1, 's3://a/', 1772366400000000);
CREATE TABLE file_seen (
    place INTEGER NOT NULL REFERENCES file_place (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    etag TEXT NOT NULL,
    PRIMARY KEY (place, path)
) STRICT, WITHOUT ROWID;
INSERT INTO file_seen VALUES (1, 's3://a/b', 'e');
CREATE TABLE idempotency (
    key TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    digest INTEGER NOT NULL,
    uids BLOB NOT NULL         -- 8 bytes each, big endian
) STRICT, WITHOUT ROWID;
INSERT INTO idempotency VALUES ('key', 1772366400000000, 5, X'00064bd9d5a5e000');
CREATE TABLE incident (
    route TEXT NOT NULL,
    opened INTEGER NOT NULL,
    closed INTEGER,
    alerts INTEGER NOT NULL,
    PRIMARY KEY (route, opened)
) STRICT, WITHOUT ROWID;
INSERT INTO incident VALUES ('default', 1772366400000000, NULL, 1);
CREATE TABLE incident_step (
    route TEXT NOT NULL,
    opened INTEGER NOT NULL,
    step INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    message INTEGER,           -- outbox.id; none where nothing was to be sent
    headline TEXT NOT NULL,
    details TEXT NOT NULL,     -- JSON, a list of lines
    PRIMARY KEY (route, opened, step)
) STRICT, WITHOUT ROWID;
CREATE TABLE ladder (
    route TEXT PRIMARY KEY,
    state TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO ladder VALUES ('default', '{"quiet":true}');
CREATE TABLE name (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO name VALUES (1, 'etl/daily.toml');
INSERT INTO name VALUES (2, 'worker-1');
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
, skipped INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO outbox VALUES (1, 1772366400000000, 'default', 'summary', 'k1', 0, 0, NULL, NULL, NULL, '{}', 0);
CREATE TABLE pause (
    workflow TEXT NOT NULL,
    task TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (workflow, task)
) STRICT, WITHOUT ROWID;
CREATE TABLE pause_ended (
    workflow TEXT NOT NULL,
    task TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (workflow, task, since)
) STRICT, WITHOUT ROWID;
CREATE TABLE phase (
    id INTEGER PRIMARY KEY,
    workflow TEXT NOT NULL,
    task TEXT NOT NULL,
    UNIQUE (workflow, task)
) STRICT;
INSERT INTO phase VALUES (1, 'etl/daily.toml', 'extract:orders');
CREATE TABLE queue (
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    job TEXT NOT NULL,
    UNIQUE (topic, job)
) STRICT;
INSERT INTO queue VALUES (1, 'extract', 'orders');
INSERT INTO queue VALUES (2, 'load', '');
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
INSERT INTO rollup VALUES (492324, 1, 2, 1, 0, 0, 0, 8000);
INSERT INTO rollup VALUES (492324, 2, 2, 0, 0, 0, 0, 0);
CREATE TABLE route (
    name TEXT PRIMARY KEY,
    position INTEGER NOT NULL,
    topic TEXT,
    job TEXT,
    workflow TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE row_change (
    seq INTEGER PRIMARY KEY,
    tbl TEXT NOT NULL,
    key ANY NOT NULL           -- its integer key, or a JSON array of its key's columns
) STRICT;
CREATE TABLE row_log (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    chain INTEGER NOT NULL,    -- drawn at its beginning
    taken INTEGER NOT NULL,    -- row_change.seq
    digest TEXT NOT NULL       -- SHA-256 of the last segment taken
, entry INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE silence (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    since INTEGER NOT NULL,
    until INTEGER NOT NULL,
    topic TEXT,
    job TEXT,
    workflow TEXT,
    by TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE TABLE slack_outage (
    route TEXT PRIMARY KEY,
    since INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    retry_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO slack_outage VALUES ('default', 1772366400000000, 3, 1772366460000000);
CREATE TABLE slack_thread (
    route TEXT NOT NULL,
    opened INTEGER NOT NULL,
    via TEXT NOT NULL,         -- the route by whose way it was sent
    channel TEXT NOT NULL,
    ts TEXT NOT NULL,
    payload TEXT NOT NULL,     -- JSON: what it says
    PRIMARY KEY (route, opened, via)
) STRICT, WITHOUT ROWID;
INSERT INTO slack_thread VALUES ('default', 1772366400000000, 'default', '#ops', '1.2', '{}');
CREATE TABLE slot (
    phase INTEGER NOT NULL REFERENCES phase (id),
    at INTEGER NOT NULL,
    started INTEGER, tasks INTEGER,           -- task.uid of the first task; none when missed
    PRIMARY KEY (phase, at)
) STRICT, WITHOUT ROWID;
INSERT INTO slot VALUES (1, 1772362800000000, NULL, NULL);
INSERT INTO slot VALUES (1, 1772366400000000, 1772366400000000, NULL);
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
, cancelled INTEGER NOT NULL DEFAULT 0, given_up INTEGER NOT NULL DEFAULT 0, lease_micros INTEGER, foreign_digest BLOB, backload INTEGER) STRICT;
INSERT INTO task VALUES (1772366400000000, 1, 3, 0, 1772366409000000, 77, 1, 0, 0, 2, 1, NULL, 0, NULL, 1772366401000000, 1772366409000000, 'chain-1', '?hour=2026-03-01T11', 'cron=2026-03-01T11&workflow=etl%2Fdaily.toml&file=a', 'done', 0, 0, NULL, NULL, NULL);
INSERT INTO task VALUES (1772366409000001, 2, 0, 0, 1772366409000001, NULL, 0, 0, 0, NULL, 1, 1772366400000000, NULL, NULL, NULL, NULL, 'chain-1', 'a?hour=2026-03-01T11', 'workflow=etl%2Fdaily.toml', '', 0, 0, NULL, NULL, NULL);
INSERT INTO task VALUES (1772366409000002, 2, 1, 0, 1772366460000000, NULL, 0, 0, 1, NULL, 1, 1772366400000000, NULL, NULL, NULL, NULL, 'chain-2', 'later', '', '', 0, 0, NULL, NULL, NULL);
INSERT INTO task VALUES (1772366409000003, 1, 2, 1, 1772366490000000, 78, 2, 1, 0, 2, NULL, NULL, NULL, 0.5, 1772366409500000, NULL, 'chain-3', 'leased', '', 'half', 0, 0, NULL, NULL, NULL);
CREATE TABLE token (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,  -- SHA-256 of 256 random bits
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO token VALUES ('ops', 'admin', X'aa', 1772366400000000);
CREATE TABLE watch (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    looked_until INTEGER NOT NULL,
    unfinished_until INTEGER NOT NULL -- tasks created up to then
) STRICT;
INSERT INTO watch VALUES (1, 0, 0);
CREATE TABLE workflow (
    path TEXT PRIMARY KEY,
    changed INTEGER NOT NULL,
    hash TEXT NOT NULL,        -- of the content looked at last
    problem TEXT NOT NULL,     -- why that doesn't load; empty when it does
    content TEXT NOT NULL      -- the last good one
) STRICT, WITHOUT ROWID;
INSERT INTO workflow VALUES ('etl/daily.toml', 1772366400000000, 'abc', '', '[[phase]]');
CREATE INDEX task_ready ON task (queue, lane, due) WHERE state = 0;
CREATE INDEX task_leased ON task (due) WHERE state = 2;
CREATE INDEX task_chain ON task (chain);
CREATE INDEX slot_at ON slot (at);
CREATE INDEX alert_at ON alert (at);
CREATE INDEX idempotency_at ON idempotency (at);
CREATE INDEX outbox_route ON outbox (route, id) WHERE sent IS NULL;
CREATE INDEX task_info ON task (queue, info);
CREATE INDEX backload_unfinished ON backload (id) WHERE state < 2;
CREATE INDEX file_event_at ON file_event (at);
CREATE INDEX file_event_path ON file_event (path);
CREATE INDEX file_waiting ON file_match (phase, event) WHERE state = 1;
CREATE INDEX silence_until ON silence (until);
CREATE INDEX alert_untold ON alert (route, id) WHERE told = 0;
CREATE INDEX incident_opened ON incident (opened, route);
CREATE INDEX breach_at ON breach (at);
CREATE INDEX task_queue ON task (queue);
CREATE INDEX task_failed ON task (result) WHERE result > 0;
CREATE INDEX task_queue_failed ON task (queue, result) WHERE result > 0;
CREATE INDEX change_at ON change (at);
CREATE INDEX task_delayed ON task (due, queue) WHERE state = 1;
CREATE INDEX task_given_up ON task (given_up, uid) WHERE given_up = 1;
CREATE INDEX pause_ended_until ON pause_ended (until);
CREATE INDEX incident_open ON incident (route) WHERE closed IS NULL;
CREATE INDEX incident_closed ON incident (closed) WHERE closed IS NOT NULL;
CREATE INDEX incident_step_opened ON incident_step (opened);
CREATE INDEX slack_thread_opened ON slack_thread (opened);
CREATE INDEX task_foreign ON task (foreign_digest) WHERE foreign_digest IS NOT NULL;
CREATE INDEX task_backload ON task (backload) WHERE backload IS NOT NULL AND state < 2;
PRAGMA user_version = 6;
