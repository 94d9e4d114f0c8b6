//! Routes: which alerts are told where.

use chrono::{DateTime, Utc};
use flowlord_domain::NewAlert;
use flowlord_messages::alerts::{DEFAULT_ROUTE, RouteRule, SetRoutes};
use rusqlite::params;

use crate::column::micros;
use crate::job::Command;
use crate::row::matcher;
use crate::store::{Store, Trouble};

impl Command for SetRoutes {
    type Answer = ();

    fn apply(&mut self, store: &mut Store<'_>) -> Result<(), Trouble> {
        store.connection.prepare_cached("DELETE FROM route")?.execute([])?;
        let mut insert = store.connection.prepare_cached(
            "INSERT INTO route (name, position, topic, job, workflow) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        for (position, route) in self.routes.iter().enumerate() {
            let of = &route.matcher;
            insert.execute(params![route.name, position, of.topic, of.job, of.workflow])?;
        }
        drop(insert);
        store.close_incidents_elsewhere(&self.routes, self.now)?;
        store.route_untold(&self.routes)
    }
}

impl Store<'_> {
    /// The route of an alert.
    pub(super) fn route_for(&self, alert: &NewAlert) -> rusqlite::Result<String> {
        let mut read = self
            .connection
            .prepare_cached("SELECT topic, job, workflow, name FROM route ORDER BY position")?;
        let mut rows = read.query([])?;
        while let Some(row) = rows.next()? {
            if matcher(row, 0)?.matches(&alert.topic, &alert.job, &alert.workflow) {
                return row.get(3);
            }
        }
        Ok(DEFAULT_ROUTE.to_owned())
    }

    /// How a route is written in the row of an alert: none for the default one.
    pub(super) fn route_name(&mut self, route: &str) -> rusqlite::Result<Option<i64>> {
        if route == DEFAULT_ROUTE { Ok(None) } else { self.name(route) }
    }

    fn route_untold(&mut self, routes: &[RouteRule]) -> Result<(), Trouble> {
        for (alert, topic, job, workflow) in self.untold()? {
            let takes = |route: &&RouteRule| route.matcher.matches(&topic, &job, &workflow);
            let route = routes.iter().find(takes).map_or(DEFAULT_ROUTE, |route| &route.name);
            let route = self.route_name(route)?;
            self.connection
                .prepare_cached("UPDATE alert SET route = ?2 WHERE id = ?1")?
                .execute(params![alert, route])?;
        }
        Ok(())
    }

    /// Nobody can be told any more that an incident of a route is over that isn't there.
    fn close_incidents_elsewhere(&self, routes: &[RouteRule], now: DateTime<Utc>) -> Result<(), Trouble> {
        let known: Vec<&str> =
            routes.iter().map(|route| route.name.as_str()).chain([DEFAULT_ROUTE]).collect();
        let known = serde_json::to_string(&known).unwrap_or_default();
        let run = |sql: &str| self.connection.prepare_cached(sql)?.execute(params![known, micros(now)]);
        run("INSERT OR IGNORE INTO incident_step (route, opened, step, at, kind, headline, details)
             SELECT route, opened,
                 1 + coalesce((SELECT max(step) FROM incident_step AS step
                               WHERE step.route = incident.route AND step.opened = incident.opened), 0),
                 ?2, 'removed', 'the route is no longer configured', '[]'
             FROM incident WHERE closed IS NULL AND route NOT IN (SELECT value FROM json_each(?1))")?;
        run("UPDATE incident SET closed = ?2
             WHERE closed IS NULL AND route NOT IN (SELECT value FROM json_each(?1))")?;
        self.connection
            .prepare_cached("DELETE FROM ladder WHERE route NOT IN (SELECT value FROM json_each(?1))")?
            .execute([known])?;
        Ok(())
    }
}
