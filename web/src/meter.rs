//! Counts requests. By the pattern of the path, so that no client can make up new labels.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::Method;
use metrics::{Counter, Histogram, counter, histogram};

/// The endpoint that waits on purpose: its time says nothing.
const LONG_POLL: &str = "/api/v1/lease";

type Known = HashMap<(&'static str, &'static str, u16), (Counter, Histogram)>;

thread_local! {
    /// What workers ask for all day is looked up once per thread.
    static HOT: RefCell<Known> = RefCell::default();
}

/// One request was answered.
pub(crate) fn meter(request: &HttpRequest, status: u16, took: Duration) {
    let method = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "other",
    };
    match hot(request.path()) {
        Some(route) => HOT.with_borrow_mut(|known| {
            let (count, time) =
                known.entry((method, route, status)).or_insert_with(|| meters(method, route, status));
            record(count, time, route, took);
        }),
        None => {
            let route = request.match_pattern().unwrap_or_else(|| "none".to_owned());
            let (count, time) = meters(method, &route, status);
            record(&count, &time, &route, took);
        }
    }
}

fn meters(method: &'static str, route: &str, status: u16) -> (Counter, Histogram) {
    let (route, status) = (route.to_owned(), status.to_string());
    let count = counter!("flowlord_http_requests_total", "method" => method, "route" => route.clone(), "status" => status);
    let time = if route == LONG_POLL {
        Histogram::noop()
    } else {
        histogram!("flowlord_http_request_seconds", "method" => method, "route" => route)
    };
    (count, time)
}

fn record(count: &Counter, time: &Histogram, route: &str, took: Duration) {
    count.increment(1);
    if route != LONG_POLL {
        time.record(took);
    }
}

/// Whether it is one of the paths that workers ask for all day.
pub(crate) fn is_hot(path: &str) -> bool {
    hot(path).is_some()
}

/// The patterns of workers' paths, told without matching each path against every pattern.
fn hot(path: &str) -> Option<&'static str> {
    let path = path.strip_prefix("/api/v1/")?;
    match path {
        "lease" => return Some(LONG_POLL),
        "tasks" => return Some("/api/v1/tasks"),
        "results" => return Some("/api/v1/results"),
        _ => {}
    }
    let (lease, end) = path.strip_prefix("lease/")?.split_once('/')?;
    match end {
        _ if lease.is_empty() => None,
        "result" => Some("/api/v1/lease/{lease}/result"),
        "heartbeat" => Some("/api/v1/lease/{lease}/heartbeat"),
        "release" => Some("/api/v1/lease/{lease}/release"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::hot;

    #[test]
    fn hot_paths_have_the_patterns_of_their_routes() {
        let routes = include_str!("routes/mod.rs");
        for path in ["/api/v1/tasks", "/api/v1/lease", "/api/v1/results", "/api/v1/lease/x/result"] {
            let pattern = hot(path).unwrap();
            let registered = format!("(\"{}\"", pattern.strip_prefix("/api/v1").unwrap());
            assert!(routes.contains(&registered), "{registered}");
        }
        for path in
            ["/api/v1/lease/x/other", "/api/v1/lease//result", "/api/v1/lease/x/y/result", "/", "/lease"]
        {
            assert_eq!(hot(path), None, "{path}");
        }
    }
}
