-- Version 3.

-- How many tasks a slot started; none when it was missed, and for slots of before.
ALTER TABLE slot ADD COLUMN tasks INTEGER;

-- Alerts: which route tells one, and which silence keeps it from being told.

-- Routes as configured last, in the order in which they are tried; alerts that none takes are for the default one.
-- What isn't there matches all.
CREATE TABLE route (
    name TEXT PRIMARY KEY,
    position INTEGER NOT NULL,
    topic TEXT,
    job TEXT,
    workflow TEXT
) STRICT, WITHOUT ROWID;

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
CREATE INDEX silence_until ON silence (until);

ALTER TABLE alert ADD COLUMN route INTEGER;   -- name.id; none for the default one
ALTER TABLE alert ADD COLUMN silence INTEGER; -- silence.id; may be gone
-- Each alert says itself whether it is still to be told: with several routes there is no one row up to which all are.
UPDATE alert SET told = 1 WHERE id <= (SELECT max(told_until) FROM ladder);
ALTER TABLE ladder DROP COLUMN told_until;
CREATE INDEX alert_untold ON alert (route, id) WHERE told = 0;

-- What happened in an incident, step by step.
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
CREATE INDEX incident_opened ON incident (opened, route);

-- How far the tasks and slots were looked at for what is overdue, and what was found: each is told once.
CREATE TABLE watch (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    looked_until INTEGER NOT NULL,
    unfinished_until INTEGER NOT NULL -- tasks created up to then
) STRICT;
INSERT INTO watch SELECT 1, 0, max(unfinished_until) FROM ladder HAVING count(*) > 0;
ALTER TABLE ladder DROP COLUMN unfinished_until;
CREATE TABLE breach (
    key TEXT PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX breach_at ON breach (at);

-- Lists of tasks: of a topic and job, and of what failed, newest first whatever the history holds. The uid is at the
-- end of each. Only what fails pays for the last two.
CREATE INDEX task_queue ON task (queue);
CREATE INDEX task_failed ON task (result) WHERE result > 0;
CREATE INDEX task_queue_failed ON task (queue, result) WHERE result > 0;

-- Changes that people made. Its id grows with its time, but for a clock that was set back.
CREATE TABLE change (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    source TEXT NOT NULL,      -- an address, or where else it came from
    what TEXT NOT NULL,
    detail TEXT NOT NULL,
    status INTEGER NOT NULL
) STRICT;
CREATE INDEX change_at ON change (at);

-- Rows that changed since the backup last took them, in the order of their change; only while there is a backup. The
-- newest stays also when it was taken, so that numbers go on.
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
) STRICT;

-- Phases that start nothing new, pause; tasks that are to end, cancelled; and dead letters.
CREATE TABLE pause (
    workflow TEXT NOT NULL,
    task TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (workflow, task)
) STRICT, WITHOUT ROWID;
ALTER TABLE task ADD COLUMN cancelled INTEGER NOT NULL DEFAULT 0;
-- Failed, no retry left, not run again since.
ALTER TABLE task ADD COLUMN given_up INTEGER NOT NULL DEFAULT 0;
UPDATE task SET given_up = 1 WHERE state = 3 AND result = 1 AND meta LIKE '%retry=failed%';
-- Also counted by topic.
DROP INDEX task_delayed;
CREATE INDEX task_delayed ON task (due, queue) WHERE state = 1;
CREATE INDEX task_given_up ON task (given_up, uid) WHERE given_up = 1;

-- Pauses that are over: what they held counts from their end.
CREATE TABLE pause_ended (
    workflow TEXT NOT NULL,
    task TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (workflow, task, since)
) STRICT, WITHOUT ROWID;
CREATE INDEX pause_ended_until ON pause_ended (until);

-- What needed no message of its own, as a change of one that can't be changed: it is done, and nobody was told.
ALTER TABLE outbox ADD COLUMN skipped INTEGER NOT NULL DEFAULT 0;

-- Incidents that are open; and those that are over, by when, as old ones leave.
CREATE INDEX incident_open ON incident (route) WHERE closed IS NULL;
CREATE INDEX incident_closed ON incident (closed) WHERE closed IS NOT NULL;
CREATE INDEX incident_step_opened ON incident_step (opened);
CREATE INDEX slack_thread_opened ON slack_thread (opened);

-- What kind of change it is, as lists of changes are filtered by it.
ALTER TABLE change ADD COLUMN action TEXT NOT NULL DEFAULT 'other';
