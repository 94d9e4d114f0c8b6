//! The page that stands in for Slack in the demo, clicks there, and the Web API that the notifier posts to.

use std::sync::{Arc, Mutex};

use actix_web::http::Method;
use actix_web::test::TestRequest;
use actix_web::web::Data;
use flowlord_domain::Secret;
use flowlord_domain::query::Query;
use flowlord_kernel::{Code, Error};
use flowlord_messages::outbox::SlackInteraction;
use flowlord_web_core::auth::AccessRules;
use flowlord_web_core::context::{Config, ContextRef, WebContext};
use flowlord_web_core::demo_slack::DemoSlack;
use serde_json::{Value, json};

use super::access::{closed, with};
use super::pages::full;
use super::stub::{Stub, config, request, send};

fn demo(stub: &Stub) -> ContextRef {
    demo_with(stub, config())
}

fn demo_with(stub: &Stub, config: Config) -> ContextRef {
    let slack = DemoSlack::new(Secret::new("xoxb-1"), Secret::new("s3cret"), "http://127.0.0.1:1/api/".to_owned());
    let config = Config { demo_slack: Some(Arc::new(slack)), ..config };
    Data::new(WebContext::new(config, stub.deps(), crate::routes::table()))
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

/// The time of a message with a button, by which it is found.
async fn with_a_button(context: &ContextRef) -> String {
    let button = json!({
        "type": "button", "action_id": "acknowledge", "value": "{}", "text": {"type": "plain_text", "text": "Acknowledge"},
    });
    let body = json!({"attachments": [{"blocks": [{"type": "actions", "elements": [button]}]}]});
    call(context, "chat.postMessage", "xoxb-1", &body).await["ts"].as_str().unwrap().to_owned()
}

#[actix::test]
async fn a_click_is_handed_on_as_slack_would_post_it() {
    let stub = full();
    let context = demo(&stub);
    let ts = with_a_button(&context).await;
    let page = send(context.clone(), request(Method::GET, "/demo/slack")).await.text;
    assert!(page.contains("value=\"acknowledge\"") && !page.contains("disabled"), "{page}");
    let heard: Arc<Mutex<Vec<SlackInteraction>>> = Arc::default();
    let hears = Arc::clone(&heard);
    stub.click(move |call| {
        hears.lock().unwrap().push(call);
        Ok(())
    });
    let click = async |button: &str| {
        let form = request(Method::POST, "/demo/slack").set_payload(format!("ts={ts}&do={button}"));
        let reply = send(context.clone(), form).await;
        assert_eq!((reply.status, reply.header("location")), (303, "/demo/slack"));
        reply.header("set-cookie").to_owned()
    };
    assert!(click("acknowledge").await.contains("good%20Clicked"));
    assert!(click("rerun").await.contains("bad%20the%20message%20has%20no%20such%20button"));
    let clicks = heard.lock().unwrap().clone();
    let [click_of_slack] = &clicks[..] else { panic!("one click, not {}", clicks.len()) };
    let form = Query::parse(&click_of_slack.body).unwrap();
    let payload: Value = serde_json::from_str(form.first_value("payload").unwrap()).unwrap();
    assert_eq!((&payload["type"], &payload["user"]["name"]), (&json!("block_actions"), &json!("someone")));
    stub.click(|_| Err(Error::new(Code::Storage, "planned")));
    assert!(click("acknowledge").await.contains("bad%20planned"));
    let address = payload["response_url"].as_str().unwrap();
    let reply = call(&context, address.rsplit('/').next().unwrap(), "", &json!({"text": "didn't work"})).await;
    assert_eq!(reply["ok"], true);
    let page = send(context.clone(), request(Method::GET, "/demo/slack")).await.text;
    assert!(page.contains("only visible to the one who clicked"), "{page}");
}

#[actix::test]
async fn only_operators_may_click() {
    let (stub, _) = closed();
    let access = AccessRules { anonymous: false, ..AccessRules::default() };
    let context = demo_with(&stub, Config { access, ..config() });
    let ts = with_a_button(&context).await;
    let page = send(context.clone(), with(request(Method::GET, "/demo/slack"), "viewer")).await.text;
    assert!(page.contains("disabled title=\"Needs the role operator\""), "{page}");
    let form = request(Method::POST, "/demo/slack").set_payload(format!("ts={ts}&do=acknowledge"));
    assert_eq!(send(context, with(form, "viewer")).await.status, 403);
}

#[actix::test]
async fn only_the_demo_has_the_page_and_its_entry_in_the_navigation() {
    let stub = full();
    for (method, path) in [
        (Method::GET, "/demo/slack"),
        (Method::POST, "/demo/slack"),
        (Method::POST, "/demo/slack/api/chat.postMessage"),
    ] {
        let reply = send(stub.context(), request(method, path)).await;
        assert!(reply.status == 404 && reply.text.contains("only the demo has it"), "{reply:?}");
    }
    let entry = "<a href=\"/demo/slack\" data-key=\"g s\"";
    assert!(!stub.get("/web/alert").await.text.contains(entry));
    assert!(send(demo(&stub), request(Method::GET, "/web/alert")).await.text.contains(entry));
}
