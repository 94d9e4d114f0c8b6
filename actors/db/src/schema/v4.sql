-- Version 4.

-- How long the lease lasts that its worker asked for last, in microseconds: a heartbeat that names no other extends it by
-- that. None for what was handed out before.
ALTER TABLE task ADD COLUMN lease_micros INTEGER;

-- Tasks that were created elsewhere and came with their results: a digest of what tells each from all others.
ALTER TABLE task ADD COLUMN foreign_digest BLOB;
CREATE INDEX task_foreign ON task (foreign_digest) WHERE foreign_digest IS NOT NULL;
