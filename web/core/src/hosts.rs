//! From where a browser may speak to the service.

use std::net::{IpAddr, SocketAddr};

use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, ORIGIN};
use flowlord_kernel::Code;

use crate::problem::Problem;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Which names of the service are its own.
#[derive(Debug)]
pub struct OwnHosts {
    only_own_names: bool,
    /// Host and port of the public address, as in its links.
    public: Option<String>,
}

impl OwnHosts {
    pub fn new(listen: SocketAddr, public_url: Option<&str>) -> Self {
        let public = public_url.and_then(url_authority).map(str::to_ascii_lowercase);
        Self { only_own_names: listen.ip().is_loopback(), public }
    }

    /// Refuses requests that a foreign page makes a browser send.
    pub fn check(&self, request: &ServiceRequest, is_watch: bool) -> Result<(), Problem> {
        // On loopback no token is needed, so a foreign page whose name was made to point to this machine (DNS
        // rebinding) must not get through: its requests carry its own name in `Host`.
        if let Some(host) = text_of(request.headers(), HOST)
            && self.only_own_names
            && !self.is_own(host)
        {
            // A program that somebody set up brings a token of its own, or watches the service.
            let is_of_a_program = is_watch || request.headers().contains_key(AUTHORIZATION);
            return Err(foreign_origin(self.unknown_name(host, is_of_a_program)));
        }
        // What only reads may be linked to from anywhere, like from a message in Slack.
        if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
            return Ok(());
        }
        self.may_change(request.headers())
    }

    /// Refuses what a page of another site makes a browser send. For the few paths that change something by GET, too.
    pub fn may_change(&self, headers: &HeaderMap) -> Result<(), Problem> {
        match (text_of(headers, SEC_FETCH_SITE), text_of(headers, ORIGIN)) {
            // Programs send neither.
            (Some("same-origin" | "none"), _) | (None, None) => Ok(()),
            // Old browsers send the origin only.
            (None, Some(origin)) if self.is_same(origin, text_of(headers, HOST)) => Ok(()),
            _ => Err(foreign_origin("a page of another site may not change anything here".to_owned())),
        }
    }

    /// What to do about a name that isn't known.
    fn unknown_name(&self, host: &str, is_of_a_program: bool) -> String {
        let shown = host.escape_default();
        // A person may be on a page whose name was made to point here, and isn't asked to add it; the one who set up a
        // program can tell.
        if !is_of_a_program || !is_plain(host) {
            return format!(
                "`{shown}` is not a name of this service: use its address, localhost, or set public_url to the name that \
                 people use"
            );
        }
        let known = match &self.public {
            Some(public) => format!("send `Host: {public}`, the name in public_url, "),
            None => String::new(),
        };
        format!(
            "`{shown}` is not a name of this service: set public_url to an address with it, like \"http://{shown}\" \
             (`--public-url`, FLOWLORD_PUBLIC_URL), {known}or use the service's address or localhost"
        )
    }

    fn is_own(&self, host: &str) -> bool {
        let name = name_of(host);
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost")
            // An address isn't a name that could be made to point elsewhere.
            || bare.parse::<IpAddr>().is_ok()
            // Browsers resolve these to this machine themselves: no name server can point them elsewhere.
            || name.to_ascii_lowercase().ends_with(".localhost")
            || self.public.as_deref().is_some_and(|public| name_of(public).eq_ignore_ascii_case(name))
    }

    fn is_same(&self, origin: &str, host: Option<&str>) -> bool {
        let Some(origin) = url_authority(origin) else { return false };
        // Behind a proxy `Host` may be the proxy's name for the service: the public address counts, too.
        [host, self.public.as_deref()].into_iter().flatten().any(|own| own.eq_ignore_ascii_case(origin))
    }
}

fn text_of(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    // What isn't ASCII must not pass as a header that is missing.
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

fn foreign_origin(detail: String) -> Problem {
    Problem::new(Code::ForbiddenOrigin, detail)
}

fn is_plain(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte))
}

/// Host and port of `scheme://host:port/…`.
fn url_authority(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.split(['/', '?', '#']).next()
}

fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        // The last colon of an IPv6 address in brackets begins no port.
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !host.ends_with(']') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn hosts() -> OwnHosts {
        OwnHosts::new("127.0.0.1:8080".parse().unwrap(), Some("https://Flow.example.org/x"))
    }

    #[test]
    fn on_loopback_only_own_names_are_answered() {
        for (host, good) in [
            ("localhost:8080", true),
            ("LocalHost", true),
            ("a.localhost:1", true),
            ("127.0.0.1:8080", true),
            ("[::1]:8080", true),
            ("[::1]", true),
            ("192.168.1.5", true),
            ("flow.example.org", true),
            ("flow.example.org:443", true),
            ("evil.example.org:8080", false),
            ("localhost.evil.org", false),
            ("127.0.0.1.evil.org:80", false),
            ("", false),
        ] {
            let request = TestRequest::get().insert_header((HOST, host)).to_srv_request();
            assert_eq!(hosts().check(&request, false).is_ok(), good, "{host}");
        }
        let elsewhere = OwnHosts::new("0.0.0.0:8080".parse().unwrap(), None);
        let request = TestRequest::get().insert_header((HOST, "any.example.org")).to_srv_request();
        assert!(elsewhere.check(&request, false).is_ok(), "beyond loopback there are tokens");
    }

    #[test]
    fn a_program_is_told_which_name_to_set_and_a_page_is_not() {
        let detail = |hosts: &OwnHosts, request: TestRequest, is_watch: bool, host: &str| {
            let request = request.insert_header((HOST, host)).to_srv_request();
            hosts.check(&request, is_watch).unwrap_err().detail().to_owned()
        };
        let unnamed = OwnHosts::new("127.0.0.1:8080".parse().unwrap(), None);
        let with_token = || TestRequest::post().uri("/api/v1/lease").insert_header((AUTHORIZATION, "Bearer flw_x"));
        let health = ["/healthz", "/readyz", "/status", "/metrics"].map(|path| (TestRequest::get().uri(path), true));
        for (request, is_watch) in health.into_iter().chain([(with_token(), false)]) {
            let detail = detail(&unnamed, request, is_watch, "flow.internal:8080");
            let set = "set public_url to an address with it, like \"http://flow.internal:8080\"";
            assert!(detail.starts_with("`flow.internal:8080` is not a name") && detail.contains(set), "{detail}");
        }
        let named = detail(&hosts(), with_token(), false, "flow.internal");
        assert!(named.contains("send `Host: flow.example.org`"), "{named}");
        for (request, host) in [
            (TestRequest::get().uri("/web/task"), "evil.example.org"),
            (TestRequest::get().uri("/api/v1/tasks"), "evil.example.org"),
            (with_token(), "a\"b"),
        ] {
            let detail = detail(&unnamed, request, false, host);
            assert!(!detail.contains("http://") && detail.contains("public_url"), "{detail}");
        }
    }

    #[test]
    fn other_sites_change_nothing() {
        for (headers, good) in [
            (vec![], true),
            (vec![("sec-fetch-site", "same-origin")], true),
            (vec![("sec-fetch-site", "none")], true),
            (vec![("sec-fetch-site", "same-site")], false),
            (vec![("sec-fetch-site", "cross-site")], false),
            (vec![("sec-fetch-site", "cross-site"), ("origin", "http://localhost:8080")], false),
            (vec![("origin", "http://localhost:8080")], true),
            (vec![("origin", "https://flow.example.org")], true),
            (vec![("origin", "http://localhost:9999")], false),
            (vec![("origin", "https://evil.example.org")], false),
            (vec![("origin", "null")], false),
        ] {
            let with = |mut request: TestRequest| {
                request = request.insert_header((HOST, "localhost:8080"));
                headers.iter().fold(request, |r, header| r.insert_header(*header)).to_srv_request()
            };
            assert_eq!(hosts().check(&with(TestRequest::post()), false).is_ok(), good, "{headers:?}");
            assert!(hosts().check(&with(TestRequest::get()), false).is_ok(), "reading is no change: {headers:?}");
        }
    }
}
