-- Version 7.

-- The SHA-256 of the last rows that this database has from the cluster's log, where that holds each transaction; else
-- empty. What a transaction changes names the one before.
ALTER TABLE row_log ADD COLUMN frame TEXT NOT NULL DEFAULT '';
