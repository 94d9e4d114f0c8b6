//! How the pages count notifications: only those that Slack took.

use actix_web::http::Method;
use actix_web::web::Data;
use chrono::TimeDelta;
use flowlord_kernel::{Code, Error};
use flowlord_messages::alerts::{EscalationStatus, MAX_COUNTED_STEPS, NotificationCounts};
use flowlord_web_core::context::{Config, WebContext};

use super::pages::full;
use super::stub::{Stub, config, ladder, noon, request, send};

/// An open incident of 52 alerts in 103 steps.
fn open(route: &str) -> EscalationStatus {
    let (route, since) = (route.to_owned(), Some(noon()));
    EscalationStatus { route, incident_since: since, alerts: 52, steps: 103, ..ladder() }
}

/// The page of alerts of a service with or without a Slack of its own.
async fn alerts(stub: &Stub, slack: bool) -> String {
    let context = Data::new(WebContext::new(Config { slack, ..config() }, stub.deps(), crate::routes::table()));
    send(context, request(Method::GET, "/web/alert")).await.text
}

fn counted(counts: NotificationCounts) -> Stub {
    let stub = full();
    stub.ladders(|_| Ok(vec![ladder(), open("default")]));
    stub.notifications(move |asked| {
        assert_eq!(asked.incidents, [("default".to_owned(), noon())], "of open incidents only");
        Ok(vec![counts.clone()])
    });
    stub
}

#[actix::test]
async fn without_slack_nothing_was_sent_and_the_page_says_what_to_configure() {
    let stub = full();
    stub.ladders(|_| Ok(vec![open("default"), EscalationStatus { route: "etl".to_owned(), ..ladder() }]));
    let page = alerts(&stub, false).await;
    assert!(page.contains("<p>52 alerts. Next check at "), "{page}");
    assert_eq!(page.matches("Slack is not configured: no notification is sent.").count(), 1, "{page}");
    assert!(page.contains("<a href=\"/web/about#slack\">How to configure it</a>"), "{page}");
    assert!(!page.contains("103") && !page.contains("notification sent"), "{page}");
    let context = Data::new(WebContext::new(Config { slack: false, ..config() }, stub.deps(), crate::routes::table()));
    let about = send(context, request(Method::GET, "/web/about")).await.text;
    assert!(about.contains("<section class=\"panel\" id=\"slack\">"), "{about}");
    assert!(about.contains("url = &#34;ADDRESS OF THE WEBHOOK&#34;") || about.contains("url = \"ADDRESS"), "{about}");
    assert!(!stub.get("/web/about").await.text.contains("ADDRESS OF THE WEBHOOK"), "configured");
}

#[actix::test]
async fn what_slack_took_is_counted_and_what_waits_is_said_with_its_reason() {
    let error = Some("channel_not_found".to_owned());
    let refused = NotificationCounts { waiting: 3, error, retry_at: Some(noon() + TimeDelta::seconds(30)), sent: 0 };
    for (counts, expected) in [
        (NotificationCounts { sent: 1, ..NotificationCounts::default() }, "52 alerts, 1 notification sent. Next"),
        (
            NotificationCounts { sent: 2, waiting: 1, ..NotificationCounts::default() },
            "2 notifications sent, 1 waiting. Next",
        ),
        (refused.clone(), "52 alerts, no notification sent, 3 waiting. Next"),
        (refused, "Slack refused the next notification: channel_not_found. Next attempt at <time"),
    ] {
        let page = alerts(&counted(counts), true).await;
        assert!(page.contains(expected), "{expected}: {page}");
        assert!(!page.contains("Slack is not configured"), "{page}");
    }
}

#[actix::test]
async fn a_count_that_is_cut_or_cannot_be_read_says_so() {
    let stub = full();
    stub.ladders(|_| Ok(vec![EscalationStatus { steps: 5_000, ..open("etl") }]));
    let sent = MAX_COUNTED_STEPS as u64;
    stub.notifications(move |_| Ok(vec![NotificationCounts { sent, ..NotificationCounts::default() }]));
    let page = alerts(&stub, true).await;
    assert!(page.contains("52 alerts, at least 1,000 notifications sent."), "{page}");
    stub.notifications(|_| Err(Error::new(Code::Storage, "no disk")));
    let page = alerts(&stub, true).await;
    assert!(page.contains("<p>52 alerts. Next check at "), "{page}");
    assert!(page.contains("the notifications sent can&#39;t be shown now: no disk"), "{page}");
}
