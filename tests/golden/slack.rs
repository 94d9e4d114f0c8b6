//! What Slack gets: the summary of alerts, and a message as it is posted.

use chrono::NaiveDate;
use flowlord_domain::summary::{SummaryItem, summarize_alerts, summary_message};
use flowlord_messages::outbox::{MessageColour, MessagePayload};
use flowlord_slack::message::{MessageRemarks, MessageStyle, write_message};
use serde_json::{Value, json};

use crate::case::{Case, Verdict, at_or_zero, list};
use crate::departures;

pub(crate) fn alert_summary(case: &Case<'_>) -> Verdict {
    let text = |alert: &'static str, of: &Value| of[alert].as_str().unwrap_or_default().to_owned();
    let alerts = list(&case.input["alerts"]);
    let names: Vec<_> = alerts.iter().map(|alert| (text("type", alert), text("job", alert))).collect();
    let times = alerts.iter().map(|alert| at_or_zero(alert["task_time"].as_str().unwrap_or_default()));
    let items = names.iter().zip(times);
    let lines = summarize_alerts(items.map(|((topic, job), time)| SummaryItem {
        topic,
        job,
        workflow: "",
        task_time: Some(time),
        raised: None,
    }));
    let today = NaiveDate::from_ymd_opt(2026, 3, 1).expect("a day");
    let base = format!("{}:{}", case.text("host"), case.input["port"]);
    let lines_as_json: Vec<Value> = lines
        .iter()
        .map(|line| json!({ "key": line.key, "count": line.count, "time_range": line.time_range }))
        .collect();
    let message = summary_message(&base, today, &lines).replace("2026-03-01", "<TODAY>");
    Verdict::like(case.expected, &json!({ "lines": lines_as_json, "message": message }))
}

/// The content is ours; where it goes and what marks it is the reference's.
pub(crate) fn slack_payload(case: &Case<'_>) -> Verdict {
    let colour = match case.input["level"].as_i64().unwrap_or_default() {
        1 => MessageColour::Yellow,
        2 => MessageColour::Red,
        3 => MessageColour::Blue,
        // The reference has no other levels.
        _ => MessageColour::Green,
    };
    let headline = case.text("message").to_owned();
    let payload = MessagePayload { headline, lines: vec![], link: None, footer: String::new(), colour, incident: None };
    let style = MessageStyle {
        channel: Some(case.text("channel").to_owned()).filter(|channel| !channel.is_empty()),
        prefix: case.text("prefix").to_owned(),
        title: case.text("title").to_owned(),
        ..MessageStyle::default()
    };
    let ours = serde_json::to_value(write_message(&payload, &style, MessageRemarks::default())).expect("JSON");
    let (attachment, reference) = (&ours["attachments"][0], &case.expected["attachments"][0]);
    let title = &attachment["blocks"][0];
    let title = if title["type"] == "header" { &title["text"]["text"] } else { &Value::Null };
    let got = json!([ours["channel"], attachment["color"], attachment["fallback"], title]);
    if case.expected.is_null() {
        // The address is wrong: nothing is posted, which the notifier's own tests hold. The message is one.
        return Verdict::holds(case.error.is_some() && attachment["fallback"].is_string(), got);
    }
    let wanted = json!([case.expected["channel"], reference["color"], reference["text"], reference["title"]]);
    Verdict::departs(departures::BLOCKS, &wanted, &got)
}
