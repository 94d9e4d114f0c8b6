//! Counts requests. By the pattern of the path, so that no client can make up new labels.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use actix_web::http::Method;
use flowlord_web_core::route::RouteMatch;
use metrics::{Counter, Histogram, counter, histogram};

type RequestMeters = HashMap<(&'static str, &'static str, u16), (Counter, Histogram)>;

thread_local! {
    // Looked up once per thread; bounded, as there are no more than routes and statuses.
    static KNOWN: RefCell<RequestMeters> = RefCell::default();
}

pub(crate) fn count_request(method: &Method, found: &RouteMatch<'_>, status: u16, took: Duration) {
    let method = match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "other",
    };
    let pattern = found.pattern.unwrap_or("none");
    KNOWN.with_borrow_mut(|known| {
        let (count, time) = known.entry((method, pattern, status)).or_insert_with(|| {
            let is_timed = !found.route.is_some_and(|route| route.is_long_poll);
            meters(method, pattern, status, is_timed)
        });
        count.increment(1);
        time.record(took);
    });
}

fn meters(method: &'static str, route: &'static str, status: u16, is_timed: bool) -> (Counter, Histogram) {
    let status = status.to_string();
    let count = counter!("flowlord_http_requests_total", "method" => method, "route" => route, "status" => status);
    let time = if is_timed {
        histogram!("flowlord_http_request_seconds", "method" => method, "route" => route)
    } else {
        Histogram::noop()
    };
    (count, time)
}
