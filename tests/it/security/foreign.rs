//! Pages of other sites change nothing here and frame nothing of ours.

use reqwest::{Client, Method};

use crate::support::{TestApp, WORKFLOW};

const PAGES: [&str; 11] = [
    "/",
    "/login",
    "/web/task",
    "/web/alert",
    "/web/files",
    "/web/workflow",
    "/web/backload",
    "/web/audit",
    "/web/about",
    "/api/docs",
    "/api/docs/errors",
];

#[actix::test]
async fn other_sites_change_nothing() {
    let app = TestApp::start().await;
    let client = Client::new();
    for (method, path) in [
        (Method::POST, "/api/v1/tasks"),
        (Method::POST, "/api/v1/lease"),
        (Method::POST, "/api/v1/backload"),
        (Method::POST, "/api/v1/tokens"),
        (Method::DELETE, "/api/v1/tokens/x"),
        (Method::POST, "/login"),
        (Method::POST, "/logout"),
        (Method::POST, "/refresh"),
        (Method::GET, "/refresh"),
        (Method::GET, "/notify"),
        (Method::POST, "/backload"),
    ] {
        for (name, value) in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let request = client.request(method.clone(), format!("{}{path}", app.api.base));
            let answer = request.header(name, value).body("{}").send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 403, "{method} {path} {name}: {value}");
        }
    }
    // A name that was made to point here (DNS rebinding).
    let rebound = client.get(format!("{}/api/v1/tasks", app.api.base)).header("host", "evil.example");
    assert_eq!(rebound.send().await.unwrap().status().as_u16(), 403);
    app.stop().await;
}

#[actix::test]
async fn a_program_is_told_which_name_to_set_and_answered_once_it_is() {
    let set = "public_url = \"http://flow.internal:8080\"\n";
    for more in ["", set] {
        let app = TestApp::configured(WORKFLOW, |_| more.to_owned()).await;
        for (path, token) in [("/healthz", ""), ("/readyz", ""), ("/api/v1/tasks", "Bearer flw_x")] {
            let headers = [("host", "flow.internal:8080"), ("authorization", token)];
            let headers = &headers[..if token.is_empty() { 1 } else { 2 }];
            let answer = app.api.send_with(Method::GET, path, headers, String::new()).await.unwrap();
            if more.is_empty() {
                assert_eq!(answer.problem(), (403, "forbidden_origin"), "{path}");
                let detail = answer.json["detail"].as_str().unwrap();
                assert!(
                    detail.contains("`flow.internal:8080` is not a name") && detail.contains("public_url"),
                    "{detail}"
                );
            } else {
                // The token isn't known, but the name is.
                assert_eq!(answer.status, if token.is_empty() { 200 } else { 401 }, "{path}");
            }
        }
        app.stop().await;
    }
}

#[actix::test]
async fn no_page_can_be_framed_or_run_a_script_from_elsewhere() {
    let app = TestApp::start().await;
    let client = Client::new();
    for path in PAGES {
        let answer = client.get(format!("{}{path}", app.api.base)).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{path}");
        let header =
            |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        assert_eq!(header("x-frame-options"), "DENY", "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        let policy = header("content-security-policy");
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("default-src 'none'"), "{policy}");
        // The icons of the console stand in its styles.
        let policy = if path == "/api/docs" { policy.replace("img-src 'self' data:", "") } else { policy };
        for loose in ["unsafe-inline", "unsafe-eval", "*", "http:", "https:", "data:"] {
            assert!(!policy.contains(loose), "{path}: {policy}");
        }
    }
    app.stop().await;
}
