-- A database of version 1, as that program left it. Never edited: it is what people have.
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
INSERT INTO "alert" VALUES(1,0,1772366400000000,1772366400000000,1,1,1,0,1772366400000000,'chain-1','no disk');
CREATE TABLE cron (
    phase INTEGER NOT NULL REFERENCES phase (id),
    text TEXT NOT NULL,
    since INTEGER NOT NULL,    -- counts from then on
    PRIMARY KEY (phase, text)
) STRICT, WITHOUT ROWID;
INSERT INTO "cron" VALUES(1,'0 * * * *',1772362800000000);
CREATE TABLE file_event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    path TEXT NOT NULL,
    stat TEXT NOT NULL,        -- JSON as it came
    tasks TEXT NOT NULL        -- uids of what it started, JSON
) STRICT;
INSERT INTO "file_event" VALUES(1,1772366400000000,'s3://a/b','{}','[]');
CREATE TABLE idempotency (
    key TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    digest INTEGER NOT NULL,
    uids BLOB NOT NULL         -- 8 bytes each, big endian
) STRICT, WITHOUT ROWID;
INSERT INTO "idempotency" VALUES('key',1772366400000000,5,X'00064BD9D5A5E000');
CREATE TABLE incident (
    route TEXT NOT NULL,
    opened INTEGER NOT NULL,
    closed INTEGER,
    alerts INTEGER NOT NULL,
    PRIMARY KEY (route, opened)
) STRICT, WITHOUT ROWID;
INSERT INTO "incident" VALUES('default',1772366400000000,NULL,1);
CREATE TABLE ladder (
    route TEXT PRIMARY KEY,
    state TEXT NOT NULL,       -- JSON
    told_until INTEGER NOT NULL,
    unfinished_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "ladder" VALUES('default','{"quiet":true}',1,0);
CREATE TABLE name (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO "name" VALUES(1,'etl/daily.toml');
INSERT INTO "name" VALUES(2,'worker-1');
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
INSERT INTO "outbox" VALUES(1,1772366400000000,'default','summary','k1',0,0,NULL,NULL,NULL,'{}');
CREATE TABLE phase (
    id INTEGER PRIMARY KEY,
    workflow TEXT NOT NULL,
    task TEXT NOT NULL,
    UNIQUE (workflow, task)
) STRICT;
INSERT INTO "phase" VALUES(1,'etl/daily.toml','extract:orders');
CREATE TABLE queue (
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    job TEXT NOT NULL,
    UNIQUE (topic, job)
) STRICT;
INSERT INTO "queue" VALUES(1,'extract','orders');
INSERT INTO "queue" VALUES(2,'load','');
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
INSERT INTO "rollup" VALUES(492324,1,2,1,0,0,0,8000);
INSERT INTO "rollup" VALUES(492324,2,2,0,0,0,0,0);
CREATE TABLE slot (
    phase INTEGER NOT NULL REFERENCES phase (id),
    at INTEGER NOT NULL,
    started INTEGER,           -- task.uid of the first task; none when missed
    PRIMARY KEY (phase, at)
) STRICT, WITHOUT ROWID;
INSERT INTO "slot" VALUES(1,1772362800000000,NULL);
INSERT INTO "slot" VALUES(1,1772366400000000,1772366400000000);
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
INSERT INTO "task" VALUES(1772366400000000,1,3,0,1772366409000000,77,1,0,0,2,1,NULL,0,NULL,1772366401000000,1772366409000000,'chain-1','?hour=2026-03-01T11','cron=2026-03-01T11&workflow=etl%2Fdaily.toml&file=a','done');
INSERT INTO "task" VALUES(1772366409000001,2,0,0,1772366409000001,NULL,0,0,0,NULL,1,1772366400000000,NULL,NULL,NULL,NULL,'chain-1','a?hour=2026-03-01T11','workflow=etl%2Fdaily.toml','');
INSERT INTO "task" VALUES(1772366409000002,2,1,0,1772366460000000,NULL,0,0,1,NULL,1,1772366400000000,NULL,NULL,NULL,NULL,'chain-2','later','','');
INSERT INTO "task" VALUES(1772366409000003,1,2,1,1772366490000000,78,2,1,0,2,NULL,NULL,NULL,0.5,1772366409500000,NULL,'chain-3','leased','','half');
CREATE TABLE workflow (
    path TEXT PRIMARY KEY,
    changed INTEGER NOT NULL,
    hash TEXT NOT NULL,        -- of the content looked at last
    problem TEXT NOT NULL,     -- why that doesn't load; empty when it does
    content TEXT NOT NULL      -- the last good one
) STRICT, WITHOUT ROWID;
INSERT INTO "workflow" VALUES('etl/daily.toml',1772366400000000,'abc','','[[phase]]');
CREATE INDEX task_ready ON task (queue, lane, due) WHERE state = 0;
CREATE INDEX task_delayed ON task (due) WHERE state = 1;
CREATE INDEX task_leased ON task (due) WHERE state = 2;
CREATE INDEX task_chain ON task (chain);
CREATE INDEX slot_at ON slot (at);
CREATE INDEX alert_at ON alert (at);
CREATE INDEX outbox_pending ON outbox (id) WHERE sent IS NULL;
CREATE INDEX file_event_at ON file_event (at);
CREATE INDEX idempotency_at ON idempotency (at);
PRAGMA user_version = 1;
