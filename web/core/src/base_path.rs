//! The path of the public address, below which browsers find the service.
//!
//! Within the service every path is as it is routed. The base path is taken off where a request comes in
//! (`without_base`) and put before every link where its answer goes out ([`BasePath::put`]): no handler and no template
//! needs to know it. A request without it is answered, too: a proxy may have taken it off.

use actix_web::body::{BoxBody, MessageBody as _};
use actix_web::cookie::Cookie;
use actix_web::dev::ServiceResponse;
use actix_web::http::Uri;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, SET_COOKIE};
use actix_web::web::Bytes;

/// The attributes whose values are links, as templates write them.
const LINKS: [&str; 6] = [" href=\"", " src=\"", " action=\"", " formaction=\"", " data-events=\"", " data-follow=\""];

/// How every path that is routed begins.
pub const OWN_PARTS: &[&str] = &[
    "api", "assets", "backload", "demo", "healthz", "hooks", "info", "login", "logout", "metrics", "notify", "readyz",
    "recap", "refresh", "rerun", "slack", "status", "task", "web", "workflow",
];

/// Reads the address in links that people click: without a slash at its end, and without parts that are empty.
pub fn public_url(text: &str) -> Result<String, String> {
    let (origin, parts) =
        split_url(text).map_err(|what| format!("`{text}`: {what}, like https://flow.example.org/flowlord"))?;
    match parts.first() {
        // Requests without the base path are answered, too: a path could then mean either.
        Some(first) if OWN_PARTS.contains(first) => Err(format!(
            "`{text}`: paths of the service itself begin with /{first}, so write another path, like /flowlord/{first}"
        )),
        Some(_) => Ok(format!("{origin}/{}", parts.join("/"))),
        None => Ok(origin),
    }
}

/// Scheme with host, and the parts of the path; else what to write.
fn split_url(text: &str) -> Result<(String, Vec<&str>), &'static str> {
    let split = text.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"));
    let (scheme, rest) = split.ok_or("write an address that begins with http:// or https://")?;
    if rest.contains(['?', '#']) {
        return Err("links continue after it, so write it without `?` and `#`");
    }
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if host.is_empty() || !host.bytes().all(is_host_byte) {
        return Err("name the host after http:// or https://, without a user");
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    // A browser would resolve dots before it asks, and so never find what is below them.
    if parts.iter().any(|part| matches!(*part, "." | "..") || !part.bytes().all(is_plain)) {
        return Err("write its path with letters, digits and `-._~` between the slashes");
    }
    Ok((format!("{scheme}://{host}"), parts))
}

fn is_host_byte(byte: u8) -> bool {
    is_plain(byte) || !byte.is_ascii() || b":[]".contains(&byte)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// The base path: without a slash at its end, empty where links begin at the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BasePath(String);

impl BasePath {
    pub fn of(public_url: Option<&str>) -> Self {
        let rest = public_url.and_then(|url| url.split_once("://")).map_or("", |(_, rest)| rest);
        let path = rest.find('/').map_or("", |at| &rest[at..]);
        Self(path.trim_end_matches('/').to_owned())
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// The address of a request as it is routed; none where that is the one it has.
    pub fn routed(&self, uri: &Uri) -> Option<Uri> {
        let rest = uri.path_and_query()?.as_str().strip_prefix(&self.0)?;
        let rest = match rest.as_bytes().first() {
            Some(b'/') => rest.to_owned(),
            None | Some(b'?') => format!("/{rest}"),
            // Another name that begins alike.
            Some(_) => return None,
        };
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(rest.try_into().ok()?);
        Uri::from_parts(parts).ok()
    }

    /// Puts it before every link of an answer: those of a page, where to go on, and where a cookie counts.
    pub fn put(&self, mut answer: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
        if self.is_root() {
            return answer;
        }
        self.put_location(answer.headers_mut());
        self.put_cookies(answer.headers_mut());
        answer.map_body(|head, body| {
            if !head.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html")) {
                return body;
            }
            match body.try_into_bytes() {
                Ok(page) => BoxBody::new(self.prefix_links(page)),
                // What is streamed is no page.
                Err(body) => body,
            }
        })
    }

    /// A page whose links begin with it.
    fn prefix_links(&self, page: Bytes) -> Bytes {
        let Ok(text) = std::str::from_utf8(&page) else { return page };
        let mut out = String::with_capacity(text.len() + text.len() / 8);
        // Templates escape quotes in texts, so none of these can look like a link.
        for piece in text.split_inclusive("=\"") {
            if piece.starts_with('/') && LINKS.iter().any(|link| out.ends_with(link)) {
                out.push_str(&self.0);
            }
            out.push_str(piece);
        }
        Bytes::from(out)
    }

    fn put_location(&self, headers: &mut HeaderMap) {
        let path = headers.get(LOCATION).and_then(|value| value.to_str().ok()).filter(|to| to.starts_with('/'));
        if let Some(Ok(location)) = path.map(|path| HeaderValue::from_str(&self.at(path))) {
            headers.insert(LOCATION, location);
        }
    }

    fn put_cookies(&self, headers: &mut HeaderMap) {
        // Each cookie is a header of its own: all are taken out before the first is put back.
        let cookies: Vec<HeaderValue> = headers.remove(SET_COOKIE).collect();
        for value in cookies {
            headers.append(SET_COOKIE, self.narrow_cookie(&value).unwrap_or(value));
        }
    }

    fn narrow_cookie(&self, value: &HeaderValue) -> Option<HeaderValue> {
        let mut cookie = Cookie::parse(value.to_str().ok()?.to_owned()).ok()?;
        // Other services of the host, beside the base path, don't get it.
        cookie.set_path(self.0.clone());
        HeaderValue::from_str(&cookie.to_string()).ok()
    }
}

#[cfg(test)]
mod tests {
    use actix_web::HttpResponse;
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_public_address_is_written_in_one_way() {
        for (given, url) in [
            ("https://h", "https://h"),
            ("https://h/", "https://h"),
            ("http://h:8080//", "http://h:8080"),
            ("https://h/flow", "https://h/flow"),
            ("https://h/flow/", "https://h/flow"),
            ("https://h//tools///flow.1/", "https://h/tools/flow.1"),
            ("https://h/tools/web", "https://h/tools/web"),
            ("https://h/webs", "https://h/webs"),
            ("https://[::1]:8080/flow", "https://[::1]:8080/flow"),
            ("https://b\u{fc}ro.example/", "https://b\u{fc}ro.example"),
        ] {
            assert_eq!(public_url(given).as_deref(), Ok(url), "{given}");
        }
    }

    #[test]
    fn what_is_no_public_address_says_what_to_write() {
        for (given, says) in [
            ("flow.example.org", "begins with http:// or https://"),
            ("ftp://h/", "begins with http:// or https://"),
            ("https://", "name the host"),
            ("https:///flow", "name the host"),
            ("https://user:secret@h/flow", "without a user"),
            ("https://my host", "name the host"),
            ("https://h/flow?a=b", "without `?` and `#`"),
            ("https://h#top", "without `?` and `#`"),
            ("https://h/a b", "letters, digits and `-._~`"),
            ("https://h/a%20b", "letters, digits and `-._~`"),
            ("https://h/a\"b", "letters, digits and `-._~`"),
            ("https://h/../flow", "letters, digits and `-._~`"),
            ("https://h/web", "paths of the service itself begin with /web, so write another path"),
            ("https://h/api/flow", "like /flowlord/api"),
        ] {
            let error = public_url(given).unwrap_err();
            assert!(error.contains(says) && error.contains(given), "{given}: {error}");
        }
    }

    #[test]
    fn a_request_is_routed_without_the_base_path() {
        let base = BasePath::of(Some("https://h/tools/flow"));
        for (asked, routed) in [
            ("/tools/flow", Some("/")),
            ("/tools/flow/", Some("/")),
            ("/tools/flow?date=2026-03-02", Some("/?date=2026-03-02")),
            ("/tools/flow/web/task?q=/tools/flow/x", Some("/web/task?q=/tools/flow/x")),
            ("/web/task", None),
            ("/tools/flows", None),
            ("/tools", None),
        ] {
            let found = base.routed(&asked.parse().unwrap()).map(|uri| uri.to_string());
            assert_eq!(found.as_deref(), routed, "{asked}");
        }
    }

    #[test]
    fn only_links_get_the_base_path() {
        let base = BasePath::of(Some("https://h/flow/"));
        let page = |text: &'static str| base.prefix_links(Bytes::from_static(text.as_bytes()));
        for (text, put) in [
            ("<a class=\"x\" href=\"/web/task?a=b\">", "<a class=\"x\" href=\"/flow/web/task?a=b\">"),
            ("<a href=\"/\">, <img src=\"/a.svg\">", "<a href=\"/flow/\">, <img src=\"/flow/a.svg\">"),
            ("<form action=\"/login\" method=\"post\">", "<form action=\"/flow/login\" method=\"post\">"),
            ("<body data-events=\"/api/v1/events\">", "<body data-events=\"/flow/api/v1/events\">"),
        ] {
            assert_eq!(page(text), put);
        }
        for text in [
            "<a href=\"#main\"><a href=\"https://elsewhere/x\"><a href=\"?a=b\">",
            "<input value=\"/landing/*.csv\" title=\"/x\"><svg><path d=\"/\"></svg>",
            "a text: href=&#34;/x&#34; /x",
        ] {
            assert_eq!(page(text), text);
        }
    }

    #[test]
    fn redirects_and_cookies_are_below_the_base_path() {
        let answered = |base: &BasePath| {
            let cookie = Cookie::build("a", "b").path("/").http_only(true).finish();
            let answer = HttpResponse::SeeOther().insert_header((LOCATION, "/web/task")).cookie(cookie).finish();
            let answer = base.put(TestRequest::get().to_srv_request().into_response(answer));
            let text = |name| answer.headers().get(name).unwrap().to_str().unwrap().to_owned();
            (text(LOCATION), text(SET_COOKIE))
        };
        let (location, cookie) = answered(&BasePath::of(Some("https://h/flow")));
        assert_eq!((location.as_str(), cookie.as_str()), ("/flow/web/task", "a=b; HttpOnly; Path=/flow"));
        let (location, cookie) = answered(&BasePath::default());
        assert_eq!((location.as_str(), cookie.as_str()), ("/web/task", "a=b; HttpOnly; Path=/"));
    }
}
