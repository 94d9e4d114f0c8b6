-- Version 6.

-- Which backload a task is of, and its later attempts: their end is counted there. None for others, and for those of before.
ALTER TABLE task ADD COLUMN backload INTEGER;
CREATE INDEX task_backload ON task (backload) WHERE backload IS NOT NULL AND state < 2;

-- How many of its tasks ended, and how many of these by a failure; not known of those of before.
ALTER TABLE backload ADD COLUMN finished INTEGER;
ALTER TABLE backload ADD COLUMN unsuccessful INTEGER NOT NULL DEFAULT 0;
