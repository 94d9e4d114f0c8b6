//! Routes: which alerts go where.

use flowlord_domain::NewAlert;
use flowlord_domain::alert::AlertMatcher;
use flowlord_messages::alerts::{DEFAULT_ROUTE, RouteRule, SetRoutes};
use rusqlite::Params;
use rusqlite::types::FromSql;

use crate::tables::prelude::*;

impl WriteCommand for SetRoutes {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<()> {
        // All anew: their order counts, and there are only a few.
        context.run_sql("DELETE FROM route", [])?;
        for (position, RouteRule { name, matcher }) in self.routes.iter().enumerate() {
            context.run_sql(
                "INSERT INTO route (name, position, topic, job, workflow, owner) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![name, position, matcher.topic, matcher.job, matcher.workflow, matcher.owner],
            )?;
        }
        context.close_incidents_elsewhere(&self.routes, self.now)?;
        context.reroute_untold(&self.routes)
    }
}

impl WriteContext<'_> {
    pub(super) fn find_route(&self, alert: &NewAlert) -> rusqlite::Result<String> {
        let routes = "SELECT topic, job, workflow, owner, name FROM route ORDER BY position";
        let found = find_match(self.connection, routes, [], alert)?;
        Ok(found.unwrap_or_else(|| DEFAULT_ROUTE.to_owned()))
    }

    /// How a route is written in the row of an alert: none for the default one.
    pub(super) fn route_id(&mut self, route: &str) -> rusqlite::Result<Option<i64>> {
        if route == DEFAULT_ROUTE { Ok(None) } else { self.name_id(route) }
    }

    fn reroute_untold(&mut self, routes: &[RouteRule]) -> CommandResult<()> {
        for (alert, texts) in self.untold_alerts()? {
            let texts = texts.each_ref().map(String::as_str);
            let route = routes.iter().find(|route| route.matcher.matches(texts));
            let route = route.map_or(DEFAULT_ROUTE, |route| &route.name);
            let route = self.route_id(route)?;
            self.run_sql("UPDATE alert SET route = ?2 WHERE id = ?1", params![alert, route])?;
        }
        Ok(())
    }

    /// Nobody can be told any more that an incident of a route is over that isn't there.
    fn close_incidents_elsewhere(&self, routes: &[RouteRule], now: DateTime<Utc>) -> CommandResult<()> {
        let known: Vec<&str> = routes.iter().map(|route| route.name.as_str()).chain([DEFAULT_ROUTE]).collect();
        let known = serde_json::to_string(&known).unwrap_or_default();
        // A step of its own says why it ended; nothing is sent, since there is nobody to send it to.
        self.run_sql(
            "INSERT OR IGNORE INTO incident_step (route, opened, step, at, kind, headline, details)
             SELECT route, opened,
                 1 + coalesce((SELECT max(step) FROM incident_step AS step
                               WHERE step.route = incident.route AND step.opened = incident.opened), 0),
                 ?2, 'removed', 'the route is no longer configured', '[]'
             FROM incident WHERE closed IS NULL AND route NOT IN (SELECT value FROM json_each(?1))",
            params![known, micros(now)],
        )?;
        self.run_sql(
            "UPDATE incident SET closed = ?2
             WHERE closed IS NULL AND route NOT IN (SELECT value FROM json_each(?1))",
            params![known, micros(now)],
        )?;
        Ok(self.run_sql("DELETE FROM ladder WHERE route NOT IN (SELECT value FROM json_each(?1))", [known])?)
    }
}

/// The columns topic, job, workflow, owner from the one with this number on: what isn't there matches all.
pub(crate) fn read_matcher(row: &Row<'_>, first: usize) -> rusqlite::Result<AlertMatcher> {
    let [topic, job, workflow, owner] = [0, 1, 2, 3].map(|nth| row.get(first + nth));
    Ok(AlertMatcher { topic: topic?, job: job?, workflow: workflow?, owner: owner? })
}

/// The fifth column of the first row whose matcher, the first four, takes an alert.
pub(crate) fn find_match<T: FromSql>(
    connection: &Connection,
    sql: &str,
    values: impl Params,
    alert: &NewAlert,
) -> rusqlite::Result<Option<T>> {
    let mut candidates = connection.prepare_cached(sql)?;
    let mut rows = candidates.query(values)?;
    while let Some(row) = rows.next()? {
        if read_matcher(row, 0)?.matches([&alert.topic, &alert.job, &alert.workflow, &alert.owner]) {
            return row.get(4).map(Some);
        }
    }
    Ok(None)
}
