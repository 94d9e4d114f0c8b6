-- Version 4.

-- How long the lease lasts that its worker asked for last, in microseconds: a heartbeat that names no other extends it by
-- that. None for what was handed out before.
ALTER TABLE task ADD COLUMN lease_micros INTEGER;
