-- Version 5.

-- The last entry of the cluster's log that this database is known to hold; 0 without a cluster.
ALTER TABLE row_log ADD COLUMN entry INTEGER NOT NULL DEFAULT 0;
