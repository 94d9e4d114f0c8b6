//! Nothing outside the workflow folder is read, however it is asked for.

use serde_json::json;

use super::raw;
use crate::support::{TestApp, WORKFLOW};

#[actix::test]
async fn no_path_leaves_the_workflow_folder() {
    let app = TestApp::with(&format!(
        "{WORKFLOW}\n[[phase]]\ntask = \"rows\"\nrule = \"cron=0 0 1 1 *\"\ntemplate = \"{{meta:a}}\"\n"
    ))
    .await;
    let above = app.workflow_path("../planted.toml");
    std::fs::write(&above, "planted = true").unwrap();
    for path in [
        "../planted.toml",
        "%2e%2e/planted.toml",
        "..%2fplanted.toml",
        "%2e%2e%2fplanted.toml",
        "x/../../planted.toml",
        "main.toml/../../planted.toml",
        "..\\planted.toml",
        "%5c..%5cplanted.toml",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "....//planted.toml",
        "main.toml%00.txt",
    ] {
        for root in ["/workflow", "/api/v1/workflows"] {
            // Past a client, which would tidy the path up.
            let request = format!("GET {root}/{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            let answer = raw(&app.api, request.as_bytes()).await;
            let status = answer.split(' ').nth(1).unwrap_or_default();
            assert!(matches!(status, "404" | "400"), "{root}/{path}: {answer}");
            assert!(!answer.contains("planted = true") && !answer.contains("root:"), "{root}/{path}");
        }
    }
    for file in ["/etc/passwd", "../planted.toml", "file:///etc/passwd", "workflows/../../planted.toml"] {
        let body = json!({"task": "rows", "meta-file": file, "at": "2026-03-01"});
        for path in ["/api/v1/backload", "/backload"] {
            let answer = app.api.post(path, &body).await;
            assert_eq!(answer.problem().0, 400, "{path} {file}");
            assert!(!answer.json.to_string().contains("root:"), "{answer:?}");
        }
    }
    app.stop().await;
}
