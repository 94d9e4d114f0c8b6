-- Version 7.

-- The SHA-256 of the last rows that this database has from the cluster's log, where that holds each transaction; else
-- empty. What a transaction changes names the one before.
ALTER TABLE row_log ADD COLUMN frame TEXT NOT NULL DEFAULT '';

-- Joins: what a phase has of all that it waits for in a period, and whether it started.
CREATE TABLE joins (
    phase INTEGER NOT NULL REFERENCES phase (id),
    over INTEGER NOT NULL,     -- 0 hour, 1 day, 2 week, 3 month
    period INTEGER NOT NULL,   -- its number
    changed INTEGER NOT NULL,  -- when something arrived last
    started INTEGER,           -- task.uid of the first task
    PRIMARY KEY (phase, over, period)
) STRICT, WITHOUT ROWID;
CREATE INDEX joins_changed ON joins (changed);
CREATE INDEX joins_waiting ON joins (phase, changed) WHERE started IS NULL;
CREATE TABLE join_slot (
    phase INTEGER NOT NULL,
    over INTEGER NOT NULL,
    period INTEGER NOT NULL,
    slot TEXT NOT NULL,
    uid INTEGER NOT NULL,      -- the complete task
    PRIMARY KEY (phase, over, period, slot)
) STRICT, WITHOUT ROWID;
-- Periods that started and whose rows are gone, as ranges: none of them starts again, however late something arrives.
CREATE TABLE join_past (
    phase INTEGER NOT NULL,
    over INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (phase, over, first)
) STRICT, WITHOUT ROWID;

-- Owners. Whom to ask about an alert, and where it is written what to do: name.id each; none where nobody said so.
ALTER TABLE alert ADD COLUMN owner INTEGER;
ALTER TABLE alert ADD COLUMN runbook INTEGER;
ALTER TABLE route ADD COLUMN owner TEXT;
ALTER TABLE silence ADD COLUMN owner TEXT;

-- Time-outs. When the worker of a task has had it for too long; none without a limit.
ALTER TABLE task ADD COLUMN deadline INTEGER;

-- Overlap. The phase and the slot that a task is of, where slots of the phase must not run beside each other: its later
-- attempts have them, too. And slots that started nothing since one before them hadn't ended.
ALTER TABLE task ADD COLUMN slot_phase INTEGER;
ALTER TABLE task ADD COLUMN slot_at INTEGER;
CREATE INDEX task_slot ON task (slot_phase) WHERE slot_phase IS NOT NULL AND state < 3;
ALTER TABLE slot ADD COLUMN skipped INTEGER NOT NULL DEFAULT 0;

-- Limits. While leased: that the tasks of its topic and job have a limit, and the group whose limit it counts for (name.id).
ALTER TABLE task ADD COLUMN limited INTEGER;
ALTER TABLE task ADD COLUMN active_group INTEGER;
CREATE INDEX task_active ON task (queue) WHERE limited IS NOT NULL AND state = 2;
CREATE INDEX task_active_group ON task (active_group) WHERE active_group IS NOT NULL AND state = 2;

-- When the bucket of tokens of a topic and job is full again, by which its tasks start at a rate.
CREATE TABLE start_rate (
    queue INTEGER PRIMARY KEY REFERENCES queue (id),
    full_at INTEGER NOT NULL
) STRICT;

-- Expectations. What complete tasks of a phase left, by which the expectations of later ones are judged: the last values of each key.
-- A key of the meta has those of each hour of the week; the empty key is the run time, in milliseconds, at hour 0.
CREATE TABLE learned_value (
    phase INTEGER NOT NULL REFERENCES phase (id),
    key TEXT NOT NULL,
    hour INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (phase, key, hour, uid)
) STRICT, WITHOUT ROWID;
