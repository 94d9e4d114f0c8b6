//! The page that stands in for Slack in the demo, and the Web API that the notifier posts to.

use std::sync::Arc;

use actix_web::http::Method;
use actix_web::test::TestRequest;
use actix_web::web::Data;
use flowlord_domain::Secret;
use flowlord_web_core::context::{Config, ContextRef, WebContext};
use flowlord_web_core::demo_slack::DemoSlack;
use serde_json::{Value, json};

use super::pages::full;
use super::stub::{Stub, config, request, send};

fn demo(stub: &Stub) -> ContextRef {
    let demo_slack = Some(Arc::new(DemoSlack::new(Secret::new("xoxb-1"))));
    Data::new(WebContext::new(Config { demo_slack, ..config() }, stub.deps(), crate::routes::table()))
}

async fn call(context: &ContextRef, method: &str, token: &str, body: &Value) -> Value {
    let request = TestRequest::post()
        .uri(&format!("/demo/slack/api/{method}"))
        .insert_header(("authorization", format!("Bearer {token}")))
        .set_payload(body.to_string());
    let reply = send(context.clone(), request).await;
    assert_eq!(reply.status, 200, "Slack refuses in words: {reply:?}");
    serde_json::from_str(&reply.text).unwrap()
}

#[actix::test]
async fn what_the_notifier_posts_is_on_the_page() {
    let stub = full();
    let context = demo(&stub);
    let empty = send(context.clone(), request(Method::GET, "/demo/slack")).await;
    assert!(empty.status == 200 && empty.text.contains("No message yet."), "{}", empty.text);
    let refused = call(&context, "chat.postMessage", "xoxb-2", &json!({"text": "no"})).await;
    assert_eq!(refused, json!({"ok": false, "error": "invalid_auth"}));
    let posted = call(&context, "chat.postMessage", "xoxb-1", &json!({"text": "*1 alert* in &lt;b&gt;"})).await;
    call(&context, "chat.postMessage", "xoxb-1", &json!({"thread_ts": posted["ts"], "text": "details"})).await;
    let page = send(context.clone(), request(Method::GET, "/demo/slack")).await.text;
    for part in ["<b>1 alert</b> in &#60;b&#62;", "<summary>1 reply</summary>", "details", "data-live=\"incident\""] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    let edited = json!({"ts": posted["ts"], "text": "all clear"});
    assert_eq!(call(&context, "chat.update", "xoxb-1", &edited).await["ok"], true);
    let page = send(context, request(Method::GET, "/demo/slack")).await.text;
    assert!(page.contains("all clear") && page.contains("(edited)") && !page.contains("1 alert"), "{page}");
}

#[actix::test]
async fn only_the_demo_has_the_page_and_its_entry_in_the_navigation() {
    let stub = full();
    for method in [Method::GET, Method::POST] {
        let path = if method == Method::GET { "/demo/slack" } else { "/demo/slack/api/chat.postMessage" };
        let reply = send(stub.context(), request(method, path)).await;
        assert!(reply.status == 404 && reply.text.contains("only the demo has it"), "{reply:?}");
    }
    let entry = "<a href=\"/demo/slack\" data-key=\"g s\"";
    assert!(!stub.get("/web/alert").await.text.contains(entry));
    assert!(send(demo(&stub), request(Method::GET, "/web/alert")).await.text.contains(entry));
}
