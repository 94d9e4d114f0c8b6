-- Version 2.

-- The message of each incident in Slack, which later steps edit; by the way of its own route or of another.
CREATE TABLE slack_thread (
    route TEXT NOT NULL,
    opened INTEGER NOT NULL,
    via TEXT NOT NULL,         -- the route by whose way it was sent
    channel TEXT NOT NULL,
    ts TEXT NOT NULL,
    payload TEXT NOT NULL,     -- JSON: what it says
    PRIMARY KEY (route, opened, via)
) STRICT, WITHOUT ROWID;

-- Ways to Slack that fail.
CREATE TABLE slack_outage (
    route TEXT PRIMARY KEY,
    since INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    retry_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The next message of each route.
CREATE INDEX outbox_route ON outbox (route, id) WHERE sent IS NULL;
DROP INDEX outbox_pending;
