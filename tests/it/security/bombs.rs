//! Nothing small becomes large within the service: packed bodies aren't unpacked, and JSON has a bounded depth.

use reqwest::Client;

use crate::support::TestApp;

#[actix::test]
async fn packed_bodies_and_deep_json_are_refused() {
    let app = TestApp::start().await;
    let client = Client::new();
    for encoding in ["gzip", "deflate", "br", "zstd", "gzip, gzip"] {
        let request = client.post(format!("{}/api/v1/results", app.api.base));
        let request = request.header("content-encoding", encoding).body(vec![0x1f, 0x8b, 8, 0]);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 415, "{encoding}");
        assert!(answer.text().await.unwrap().contains("send it uncompressed"), "{encoding}");
    }
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        for path in ["/api/v1/tasks", "/api/v1/results", "/api/v1/files", "/api/v1/backload"] {
            let request = client.post(format!("{}{path}", app.api.base)).body(deep.clone());
            let status = request.send().await.unwrap().status().as_u16();
            assert!(status == 400 || (path == "/api/v1/results" && status == 200), "{path}: {status}");
        }
    }
    assert_eq!(app.api.get("/readyz").await.status, 200);
    app.stop().await;
}
