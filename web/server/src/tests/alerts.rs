//! What people say about alerts, and every way to say it wrong.

use actix_web::http::Method;
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::AlertKind;
use flowlord_kernel::{Code, Error};
use flowlord_messages::alerts::{AcknowledgedIncident, IncidentStep, StoredIncident};
use flowlord_messages::silences::Silence;
use serde_json::json;

use super::stub::{Stub, alert, noon, request};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[actix::test]
async fn alerts_are_filtered() {
    let stub = Stub::default();
    stub.alerts(|query| {
        assert_eq!((query.from, query.to), (at("2026-03-01T00:00:00Z"), at("2026-03-01T06:00:00Z")));
        assert_eq!(query.filter.topics, ["a", "b"]);
        assert_eq!((query.filter.jobs, query.filter.workflows), (vec!["j".to_owned()], vec!["w.toml".to_owned()]));
        assert_eq!(query.filter.kinds, [AlertKind::Unfinished, AlertKind::NotDone]);
        Ok(vec![flowlord_messages::alerts::StoredAlert { silence: Some(7), ..alert(1) }])
    });
    let path = "/api/v1/alerts?from=2026-03-01&to=2026-03-01T06&type=a,b&job=j&workflow=w.toml&kind=unfinished\
                &kind=not_done";
    assert_eq!(stub.get(path).await.ok()["items"][0]["silence"], 7);
    let (_, _, detail) = stub.get("/api/v1/alerts?kind=late").await.problem();
    assert!(detail.contains("unfinished") && detail.contains("runs_long"), "{detail}");
}

#[actix::test]
async fn who_takes_care_is_answered_what_that_holds_for() {
    let stub = Stub::default();
    stub.acknowledge(|said| {
        assert_eq!((said.route, said.matcher.to_string().as_str()), (None, "type=load job=d*"));
        assert_eq!((said.until, said.by.as_str()), (noon() + TimeDelta::minutes(90), "ada"));
        let tasks = vec!["load:daily".to_owned()];
        Ok(vec![AcknowledgedIncident { route: "default".to_owned(), opened: Some(noon()), tasks }])
    });
    let body = r#"{"match":{"type":"load","job":"d*"},"for":"90m","by":"ada","note":"on it"}"#;
    let reply = stub.post("/api/v1/alerts/ack", body).await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.ok(),
        json!({"until": "2026-03-02T13:30:00Z", "items": [
            {"route": "default", "opened": "2026-03-02T12:00:00Z", "tasks": ["load:daily"]}
        ]})
    );
    stub.acknowledge(|said| {
        assert!(said.matcher.is_all());
        assert_eq!((said.until, said.by.as_str()), (noon() + TimeDelta::hours(4), "someone"));
        Ok(Vec::new())
    });
    assert_eq!(stub.post("/api/v1/alerts/ack", "{}").await.ok()["items"], json!([]));
    stub.acknowledge(|_| Err(Error::new(Code::Storage, "no disk")));
    assert_eq!(stub.post("/api/v1/alerts/ack", "{}").await.code(), "storage");
}

#[actix::test]
async fn a_silence_is_made_listed_and_ended() {
    let stub = Stub::default();
    let silence = |until| Silence {
        id: 3,
        from: noon(),
        until,
        matcher: serde_json::from_str(r#"{"workflow":"etl/*"}"#).unwrap(),
        by: "ada".to_owned(),
        reason: "the source moves".to_owned(),
    };
    let later = at("2026-03-02T16:00:00Z");
    stub.add_silence(move |add| {
        assert_eq!((add.now, add.until, add.by.as_str()), (noon(), later, "ada"));
        Ok(silence(add.until))
    });
    let expected = json!({
        "id": 3, "match": {"workflow": "etl/*"}, "from": "2026-03-02T12:00:00Z",
        "until": "2026-03-02T16:00:00Z", "by": "ada", "reason": "the source moves", "holds": true
    });
    for when in [r#""for":"4h""#, r#""for":14400"#, r#""until":"2026-03-02T17:00:00+01:00""#] {
        let body = format!(r#"{{"match":{{"workflow":"etl/*"}},{when},"by":"ada","reason":" the source moves "}}"#);
        let made = stub.post("/api/v1/silences", body).await;
        assert_eq!((made.status, made.ok()), (201, expected.clone()));
    }
    stub.silences(move |query| {
        assert_eq!(query.limit, 2);
        Ok(vec![silence(if query.at.is_some() { later } else { noon() }); 2])
    });
    let listed = stub.get("/api/v1/silences?limit=1").await.ok();
    assert_eq!((&listed["items"][0], &listed["next"]), (&expected, &json!("3")));
    assert_eq!(stub.get("/api/v1/silences?all=true&limit=1").await.ok()["items"][0]["holds"], false);
    assert_eq!(stub.get("/api/v1/silences?all=maybe").await.code(), "invalid_request");
    stub.remove_silence(move |remove| match remove.id {
        3 => Ok(silence(noon())),
        id => Err(Error::new(Code::SilenceUnknown, format!("no silence {id} holds"))),
    });
    let ended = stub.send(request(Method::DELETE, "/api/v1/silences/3")).await;
    assert_eq!((ended.status, &ended.json()["holds"]), (200, &json!(false)));
    for id in ["4", "x", "99999999999999999999"] {
        let gone = stub.send(request(Method::DELETE, &format!("/api/v1/silences/{id}"))).await;
        assert_eq!(gone.problem().0, 404, "{id}");
    }
    assert_eq!(stub.get("/api/v1/silences/3").await.header("allow"), "DELETE");
    stub.add_silence(|_| Err(Error::new(Code::TooManySilences, "1000 hold")));
    assert_eq!(stub.post("/api/v1/silences", r#"{"for":"1h","reason":"r"}"#).await.problem().0, 409);
}

#[actix::test]
async fn what_is_said_wrong_says_what_to_write() {
    let stub = Stub::default();
    let long = "x".repeat(1_001);
    for (path, body, code, what) in [
        ("silences", r#"{"reason":"r"}"#.to_owned(), "invalid_request", "`for` is missing"),
        ("silences", r#"{"for":"1h"}"#.to_owned(), "invalid_request", "`reason` is missing"),
        ("silences", r#"{"for":"1h","reason":"  "}"#.to_owned(), "invalid_request", "`reason` is missing"),
        ("silences", format!(r#"{{"for":"1h","reason":"{long}"}}"#), "invalid_request", "shorten it"),
        ("silences", r#"{"for":"0s","reason":"r"}"#.to_owned(), "invalid_request", "from 1s to 365d"),
        ("silences", r#"{"for":"366d","reason":"r"}"#.to_owned(), "invalid_request", "from 1s to 365d"),
        ("silences", r#"{"for":"soon","reason":"r"}"#.to_owned(), "invalid_json", "write it like 250ms"),
        (
            "silences",
            r#"{"for":"1h","until":"2027-01-01T00:00:00Z","reason":"r"}"#.to_owned(),
            "invalid_request",
            "give only one of them",
        ),
        ("silences", r#"{"until":"tomorrow","reason":"r"}"#.to_owned(), "invalid_request", "write a time like"),
        (
            "silences",
            r#"{"until":"2026-03-02T12:00:00Z","reason":"r"}"#.to_owned(),
            "invalid_request",
            "a time in the future",
        ),
        (
            "silences",
            r#"{"until":"2028-03-02T12:00:00Z","reason":"r"}"#.to_owned(),
            "invalid_request",
            "a time in the future",
        ),
        ("silences", r#"{"match":{"topic":"a"}}"#.to_owned(), "invalid_json", "`match.topic`"),
        ("silences", r#"{"match":"all"}"#.to_owned(), "invalid_json", "`match`"),
        ("silences", r#"{"matcher":{}}"#.to_owned(), "invalid_json", "unknown field `matcher`"),
        ("silences", "[]".to_owned(), "invalid_json", "must be an object"),
        ("alerts/ack", r#"{"match":{"job":"a\nb"}}"#.to_owned(), "invalid_request", "`match.job`"),
        ("alerts/ack", format!(r#"{{"by":"{long}"}}"#), "invalid_request", "`by`"),
        ("alerts/ack", r#"{"reason":"r"}"#.to_owned(), "invalid_json", "unknown field `reason`"),
        ("alerts/ack", "{".to_owned(), "invalid_json", "line 1"),
    ] {
        let (status, got, detail) = stub.post(&format!("/api/v1/{path}"), body.clone()).await.problem();
        assert_eq!((status, got.as_str()), (400, code), "{body}");
        assert!(detail.contains(what), "{body}: {detail}");
    }
    assert_eq!(stub.get("/api/v1/alerts/ack").await.header("allow"), "POST");
}

#[actix::test]
async fn incidents_are_listed_with_their_steps() {
    let stub = Stub::default();
    let incident = |n: i64| StoredIncident {
        route: "default".to_owned(),
        opened: noon() - TimeDelta::minutes(n),
        closed: (n > 1).then(noon),
        alerts: 4,
        steps: vec![IncidentStep {
            at: noon(),
            kind: "summary".to_owned(),
            headline: "4 alerts in 1 task".to_owned(),
            details: vec!["load:   4".to_owned()],
            sent: (n > 1).then(noon),
        }],
    };
    stub.incidents(move |query| {
        assert_eq!(query.to, at("2026-03-03T00:00:00Z"));
        let before = |incident: &StoredIncident| {
            query.after.as_ref().is_none_or(|(opened, route)| *route == "default" && incident.opened < *opened)
        };
        Ok([1, 2, 3].map(incident).into_iter().filter(before).take(query.limit).collect())
    });
    let page = stub.get("/api/v1/incidents?limit=2").await.ok();
    let step = json!({"at": "2026-03-02T12:00:00Z", "kind": "summary", "headline": "4 alerts in 1 task",
                      "details": ["load:   4"], "sent": null});
    let open = json!({"route": "default", "opened": "2026-03-02T11:59:00Z", "closed": null, "alerts": 4,
                      "steps": [step]});
    assert_eq!(page["items"][0], open);
    assert_eq!(page["items"][1]["steps"][0]["sent"], "2026-03-02T12:00:00Z");
    let next = page["next"].as_str().unwrap();
    let rest = stub.get(&format!("/api/v1/incidents?limit=2&cursor={next}")).await.ok();
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next"]), (1, &json!(null)));
    for query in ["cursor=x", "cursor=5", "date=x", "route=a", "from=2026-03-02&to=2026-03-01"] {
        let reply = stub.get(&format!("/api/v1/incidents?{query}")).await;
        assert_eq!(reply.code(), "invalid_request", "{query}");
    }
}
