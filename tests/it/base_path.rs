//! Below a path of a host that others share: every link begins with it and leads somewhere, whether a proxy takes the
//! path off or not.

use std::collections::{BTreeMap, BTreeSet};

use flowlord::running::Running;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

use crate::support::{TestApp, WORKFLOW};

const BASE: &str = "/tools/flow";

/// Attributes with a value that may begin with a slash and is no link.
const TEXTS: [&str; 7] = ["value", "title", "data-copies", "d", "placeholder", "aria-label", "pattern"];

/// Behind a proxy that shows it below a path.
struct Below {
    app: TestApp,
    client: Client,
}

impl Below {
    async fn start(more: &str) -> Self {
        let config = format!("public_url = \"https://example.org//tools/flow/\"\n{more}");
        let app = TestApp::configured(WORKFLOW, |_| config).await;
        let client = Client::builder().redirect(Policy::none()).build().unwrap();
        Self { app, client }
    }

    /// As a browser asks, by a proxy that takes the path off or passes it on.
    async fn ask(&self, method: &Method, link: &str, is_taken_off: bool, body: String) -> Response {
        let rest = link.strip_prefix(BASE).unwrap_or_else(|| panic!("{link} isn't below {BASE}"));
        let path = match rest {
            _ if !is_taken_off => link.to_owned(),
            "" => "/".to_owned(),
            rest => rest.to_owned(),
        };
        let request = self.client.request(method.clone(), format!("{}{path}", self.app.api.base));
        let form = "application/x-www-form-urlencoded";
        let request = request.header("accept", "text/html").header("content-type", form).body(body);
        request.header("host", "example.org").send().await.unwrap()
    }

    async fn get(&self, link: &str, is_taken_off: bool) -> Response {
        self.ask(&Method::GET, link, is_taken_off, String::new()).await
    }

    /// Some of everything that pages show.
    async fn fill(&self) {
        let api = &self.app.api;
        for n in 0..130 {
            api.create(&json!({"type": "bulk", "info": format!("/landing/{n}.csv")})).await;
        }
        let leased = api.lease("bulk").await.unwrap();
        let failed = api.result(&leased.lease, &json!({"result": "alert", "msg": "=\"/x\" href=\"/x\""})).await;
        failed.ok();
        api.post("/api/v1/files", &json!({"path": "/landing/a.csv", "size": 1, "checksum": "1"})).await.ok();
        let filled = json!({"task": "extract:orders", "from": "2026-01-01", "to": "2026-01-02", "execute": true});
        let made = api.post("/api/v1/backload", &filled).await;
        assert!((200..300).contains(&made.status), "{made:?}");
    }
}

/// What stands in the attributes of a page, with their names.
fn attributes(page: &str) -> Vec<(&str, String)> {
    let ends = page.match_indices("=\"");
    ends.filter_map(|(at, _)| {
        let name = page[..at].rsplit([' ', '\n']).next()?;
        let value = page[at + 2..].split('"').next()?;
        Some((name, value.replace("&amp;", "&").replace("&#38;", "&")))
    })
    .collect()
}

/// Those of a page's attributes that are paths and no texts, with their values.
fn links(page: &str) -> BTreeSet<(&str, String)> {
    let all = attributes(page).into_iter();
    all.filter(|(name, value)| value.starts_with('/') && !TEXTS.contains(name)).collect()
}

/// Two links with the same key lead to pages of the same form: each day of a calendar has one.
fn key(link: &str) -> String {
    let (path, query) = link.split_once('?').unwrap_or((link, ""));
    let names: BTreeSet<&str> = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default()).collect();
    let path: String = path.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    format!("{path} {names:?}")
}

#[actix::test]
async fn every_link_of_every_page_is_below_the_path_and_leads_somewhere() {
    let below = Below::start("").await;
    below.fill().await;
    let (start, docs) = (format!("{BASE}/"), format!("{BASE}/api/docs"));
    let mut waiting = BTreeMap::from([(key(&start), start), (key(&docs), docs)]);
    let mut seen = BTreeSet::new();
    while let Some((form, link)) = waiting.pop_first() {
        seen.insert(form);
        let answer = below.get(&link, false).await;
        assert_eq!(answer.status().as_u16(), 200, "{link}");
        let is_page = answer.headers()["content-type"].as_bytes().starts_with(b"text/html");
        let plain = below.get(&link, true).await;
        assert_eq!(plain.status().as_u16(), 200, "{link}, taken off");
        if !is_page {
            continue;
        }
        let (text, plain) = (answer.text().await.unwrap(), plain.text().await.unwrap());
        // Figures and times of a page may change from one request to the next.
        assert_eq!(links(&text), links(&plain), "{link} is the same either way");
        for (name, value) in links(&text) {
            assert!(value.starts_with(&format!("{BASE}/")), "{link}: {name}={value}");
            let link = value.split('#').next().unwrap_or_default().to_owned();
            if matches!(name, "href" | "src") && !seen.contains(&key(&link)) {
                waiting.entry(key(&link)).or_insert(link);
            }
        }
    }
    let visited = |part: &str| seen.iter().any(|form| form.starts_with(&format!("{BASE}{part}")));
    for part in [
        "/web/task/0",
        "/web/alert",
        "/web/files",
        "/web/workflow",
        "/web/backload",
        "/web/audit",
        "/web/about",
        "/assets/",
        "/api/v0/tasks",
        "/api/docs/errors",
        "/workflow/main.toml",
        "/api/v0/openapi.json",
    ] {
        assert!(visited(part), "nothing led to {part}: {seen:?}");
    }
    below.app.stop().await;
}

#[actix::test]
async fn redirects_cookies_and_documents_are_below_the_path() {
    let below = Below::start("").await;
    for is_taken_off in [false, true] {
        let link = format!("{BASE}/web/workflow/refresh");
        let answer = below.ask(&Method::POST, &link, is_taken_off, String::new()).await;
        assert_eq!((answer.status().as_u16(), text(&answer, "location")), (303, format!("{BASE}/web/workflow")));
        let cookie = text(&answer, "set-cookie");
        assert!(cookie.split("; ").any(|part| part == format!("Path={BASE}")), "{cookie}");

        let document: Value =
            below.get(&format!("{BASE}/api/v1/openapi.json"), is_taken_off).await.json().await.unwrap();
        assert_eq!(document["servers"], json!([{"url": BASE}]));
        let missing = below.client.get(format!("{}{BASE}/api/v1/nowhere", below.app.api.base));
        let missing: Value = missing.send().await.unwrap().json().await.unwrap();
        assert_eq!(missing["type"], format!("{BASE}/api/docs/errors#not_found"));
        assert!(missing["detail"].as_str().unwrap().ends_with(&format!("begin with {BASE}/api/v1/")), "{missing}");
    }
    let events = below.app.api.open(&format!("{BASE}/api/v1/events"), "").await;
    assert_eq!(text(&events, "content-type"), "text/event-stream");
    let other = below.app.api.get(&format!("{BASE}s/web/task")).await;
    assert_eq!(other.problem(), (404, "not_found"));
    drop(events);
    below.app.stop().await;
}

#[actix::test]
async fn who_logs_in_comes_to_the_page_that_was_asked_for() {
    let below = Below::start("[auth]\nrequired = true\n").await;
    let local = Running::of(&below.app.data()).unwrap().token;
    let wanted = json!({"name": "ann", "role": "admin"});
    let made = below.app.api.clone().with_token(&local).post("/api/v1/tokens", &wanted).await.ok();
    let token = made["token"].as_str().unwrap();
    for is_taken_off in [false, true] {
        let asked = below.get(&format!("{BASE}/web/task?type=a"), is_taken_off).await;
        let login = text(&asked, "location");
        assert!(asked.status().as_u16() == 303 && login.starts_with(&format!("{BASE}/login?next=")), "{login}");
        let form = below.get(&login, is_taken_off).await.text().await.unwrap();
        let next = attributes(&form).into_iter().find(|(name, value)| *name == "value" && value.contains("type=a"));
        let fields = form_of(&[("token", token), ("next", &next.unwrap().1)]);
        let done = below.ask(&Method::POST, &format!("{BASE}/login"), is_taken_off, fields).await;
        assert_eq!((done.status().as_u16(), text(&done, "location")), (303, format!("{BASE}/web/task?type=a")));
        let cookie = text(&done, "set-cookie");
        assert!(cookie.starts_with("flowlord_session=ann.") && cookie.contains(&format!("Path={BASE};")), "{cookie}");
        let left = below.ask(&Method::POST, &format!("{BASE}/logout"), is_taken_off, String::new()).await;
        assert_eq!(text(&left, "location"), format!("{BASE}/login"));
    }
    below.app.stop().await;
}

fn text(answer: &Response, name: &str) -> String {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned()
}

/// The fields of a form, as a browser sends them.
fn form_of(fields: &[(&str, &str)]) -> String {
    let mut query = flowlord_domain::query::Query::default();
    for (name, value) in fields {
        query.set_value(name, (*value).to_owned());
    }
    query.to_text()
}
