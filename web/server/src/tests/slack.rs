//! What Slack posts is handed on as it came.

use std::sync::{Arc, Mutex};

use actix_web::test::TestRequest;
use flowlord_kernel::{Code, Error};
use flowlord_messages::outbox::SlackInteraction;
use flowlord_web_core::auth::AccessRules;
use flowlord_web_core::extract::MAX_BODY;

use super::stub::{Stub, send};

const BODY: &str = "payload=%7B%22type%22%3A%22block_actions%22%7D&x=%20";

fn signed(body: impl Into<actix_web::web::Bytes>) -> TestRequest {
    TestRequest::post()
        .uri("/slack/interactive")
        .insert_header(("content-type", "application/x-www-form-urlencoded"))
        .insert_header(("x-slack-request-timestamp", "1531420618"))
        .insert_header(("x-slack-signature", "v0=a2"))
        .set_payload(body.into())
}

#[actix::test]
async fn a_click_is_handed_on_as_it_came_and_answered_with_nothing() {
    let stub = Stub::default();
    let heard: Arc<Mutex<Vec<SlackInteraction>>> = Arc::default();
    let hears = Arc::clone(&heard);
    stub.click(move |call| {
        hears.lock().unwrap().push(call);
        Ok(())
    });
    let mut config = super::stub::config();
    config.access = AccessRules { anonymous: false, ..AccessRules::default() };
    let context = actix_web::web::Data::new(flowlord_web_core::context::WebContext::new(
        config,
        stub.deps(),
        crate::routes::table(),
    ));
    let reply = send(context, signed(BODY)).await;
    assert_eq!((reply.status, reply.text.as_str()), (200, ""), "Slack has no token: {reply:?}");
    let heard = heard.lock().unwrap();
    let [call] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!((call.timestamp.as_str(), call.signature.as_str(), call.body.as_str()), ("1531420618", "v0=a2", BODY));
}

#[actix::test]
async fn what_slack_does_not_post_is_refused() {
    let stub = Stub::default();
    stub.click(|_| panic!("it isn't handed on"));
    let unsigned = TestRequest::post().uri("/slack/interactive").set_payload(BODY);
    let (status, code, detail) = stub.send(unsigned).await.problem();
    assert_eq!((status, code.as_str()), (401, "unauthorized"));
    assert!(detail.contains("x-slack-request-timestamp") && detail.contains("only Slack"), "{detail}");
    let binary = stub.send(signed(&b"payload=\xff"[..])).await.problem();
    assert_eq!((binary.0, binary.2.as_str()), (400, "the body is not UTF-8"));
    assert_eq!(stub.send(signed("x".repeat(MAX_BODY + 1))).await.problem().0, 413);
    assert_eq!(stub.get("/slack/interactive").await.code(), "method_not_allowed");
}

#[actix::test]
async fn what_the_buttons_say_is_answered() {
    let stub = Stub::default();
    for code in [Code::Unauthorized, Code::NotFound, Code::Busy, Code::Storage] {
        stub.click(move |_| Err(Error::new(code, "said so")));
        let (status, named, detail) = stub.send(signed(BODY)).await.problem();
        assert_eq!((status, named.as_str(), detail.as_str()), (code.status(), code.as_str(), "said so"));
    }
}
