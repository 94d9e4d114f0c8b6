//! What is written, and that Slack takes it.

use serde_json::{Value, json};

use super::*;

fn payload(lines: Vec<String>) -> MessagePayload {
    MessagePayload {
        headline: "3 alerts in 1 task".to_owned(),
        lines,
        link: Some("http://flow/web/alert?date=2026-03-02".to_owned()),
        footer: "next update at 12:10 UTC".to_owned(),
        colour: MessageColour::Red,
        incident: None,
    }
}

#[test]
fn each_colour_is_that_of_the_reference_system() {
    let colours =
        [MessageColour::Green, MessageColour::Yellow, MessageColour::Red, MessageColour::Blue].map(hex_colour);
    assert_eq!(colours, ["#00FF00", "#FFFF00", "#FF0000", "#2210FF"]);
}

fn written(payload: &MessagePayload, style: &MessageStyle, again: bool) -> Value {
    serde_json::to_value(write_message(payload, style, MessageRemarks { again, ..MessageRemarks::default() })).unwrap()
}

fn style() -> MessageStyle {
    let [prefix, title, public_url] = ["prod", "Flowlord", "http://flow/"].map(str::to_owned);
    MessageStyle { channel: Some("#ops".to_owned()), prefix, title, public_url }
}

#[test]
fn a_message_is_an_attachment_of_blocks_with_plain_text_beside() {
    let message = written(&payload(vec!["a:j: 3 <x> & y".to_owned()]), &style(), true);
    let fallback = "[prod] 3 alerts in 1 task\na:j: 3 <x> & y\n\
         see report at http://flow/web/alert?date=2026-03-02\nnext update at 12:10 UTC\n\
         (sent again: it is unknown whether the first one arrived)";
    let notes = "<http://flow/web/alert?date=2026-03-02|see report>\nnext update at 12:10 UTC\n\
         (sent again: it is unknown whether the first one arrived)";
    let mrkdwn = |text: &str| json!({"type": "mrkdwn", "text": text});
    let blocks = json!([
        {"type": "header", "text": {"type": "plain_text", "text": "Flowlord"}},
        {"type": "section", "text": mrkdwn("*[prod] 3 alerts in 1 task*")},
        {"type": "section", "text": mrkdwn("```a:j: 3 &lt;x&gt; &amp; y```")},
        {"type": "context", "elements": [mrkdwn(notes)]},
    ]);
    let attachment = json!({"color": "#FF0000", "fallback": fallback, "blocks": blocks});
    assert_eq!(message, json!({"channel": "#ops", "attachments": [attachment]}));
}

#[test]
fn a_path_leads_to_the_service_and_a_log_is_named_as_one() {
    let link = Some("/web/task/00000000000001#log".to_owned());
    let message = written(&MessagePayload { link, ..payload(Vec::new()) }, &style(), false).to_string();
    assert!(message.contains("<http://flow/web/task/00000000000001#log|see log>"), "{message}");
    assert!(message.contains("see log at http://flow/web/task/00000000000001#log"), "{message}");
}

#[test]
fn a_message_can_be_text_alone() {
    let message = write_message(
        &payload(vec!["<a>".to_owned()]),
        &style(),
        MessageRemarks { plain: true, ..MessageRemarks::default() },
    );
    let text = "[prod] 3 alerts in 1 task\n&lt;a&gt;\n\
         see report at http://flow/web/alert?date=2026-03-02\nnext update at 12:10 UTC";
    assert_eq!(serde_json::to_value(message).unwrap(), json!({"channel": "#ops", "text": text}));
}

#[test]
fn what_is_too_much_for_slack_is_left_out_and_said() {
    for count in [70, 71, 500, 2_000] {
        let lines: Vec<_> = (0..count).map(|n| format!("{n}: {}", "&".repeat(20))).collect();
        let message = written(&payload(lines), &MessageStyle::default(), false);
        let blocks = message["attachments"][0]["blocks"].as_array().unwrap();
        let texts: Vec<_> = blocks.iter().filter_map(|block| block["text"]["text"].as_str()).collect();
        assert!(texts.iter().all(|text| text.chars().count() <= 3_000));
        assert!(texts.concat().chars().count() <= 12_000);
        let shown = texts[1..].iter().map(|text| text.lines().count()).sum::<usize>();
        let notes = blocks.last().unwrap()["elements"][0]["text"].as_str().unwrap();
        let left_out = match count - shown {
            0 => "<http".to_owned(),
            1 => "… and 1 more line\n".to_owned(),
            left_out => format!("… and {left_out} more lines\n"),
        };
        assert!(notes.starts_with(&left_out), "{left_out}: {notes}");
    }
}

#[test]
fn long_titles_headlines_and_lines_are_shortened_and_markup_stays_text() {
    let mut payload = payload(vec!["x".repeat(5_000), "a ``` b\nc".to_owned()]);
    payload.headline = format!("first *line*\n{}", "<".repeat(2_000));
    let style = MessageStyle { title: "t".repeat(200), ..MessageStyle::default() };
    let message = written(&payload, &style, false);
    let blocks = message["attachments"][0]["blocks"].as_array().unwrap();
    let text = |nth: usize| blocks[nth]["text"]["text"].as_str().unwrap();
    assert_eq!((text(0).chars().count(), text(0).ends_with("t…")), (150, true));
    assert!(text(1).starts_with("first *line*\n&lt;") && text(1).ends_with("&lt;…"), "{}", text(1));
    assert!((990..=1_000).contains(&text(1).chars().count()));
    assert_eq!(text(2).chars().count(), 2_899 + 6);
    assert_eq!(text(3), "```a ''' b c```");
}

#[test]
fn an_address_that_leaves_no_room_is_no_link() {
    let mut payload = payload(Vec::new());
    payload.link = Some(format!("http://flow/{}", "&".repeat(190)));
    let notes = |payload: &MessagePayload| written(payload, &style(), false)["attachments"][0]["blocks"][2].to_string();
    assert!(notes(&payload).contains("|see report>"));
    payload.link = Some(format!("http://flow/{}", "&".repeat(200)));
    assert!(!notes(&payload).contains("|see report>") && notes(&payload).contains("…"), "{}", notes(&payload));
}

mod any {
    use chrono::DateTime;
    use flowlord_testkit::problems;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Characters that mean something to Slack, that are long in UTF-16, that can't be seen, and all others.
    fn text(longest: usize) -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("&".to_owned()),
            Just("<!channel>".to_owned()),
            Just("```".to_owned()),
            Just("*".to_owned()),
            Just("😀".to_owned()),
            Just("\n".to_owned()),
            Just(" ".to_owned()),
            Just("\u{0}\u{200b}".to_owned()),
            any::<char>().prop_map(String::from),
        ];
        (vec(piece, 0..4), 0..longest).prop_map(|(pieces, times)| pieces.concat().repeat(times))
    }

    fn link() -> impl Strategy<Value = Option<String>> {
        let address =
            (text(400), any::<bool>()).prop_map(|(rest, web)| if web { format!("http://flow/{rest}") } else { rest });
        proptest::option::of(address)
    }

    prop_compose! {
        fn incident()(
            stage in prop_oneof![Just(IncidentStage::Escalating), Just(IncidentStage::Steady), Just(IncidentStage::Easing), Just(IncidentStage::Clear)],
            acknowledged_by in proptest::option::of(text(600)),
            details in vec(text(700), 0..30),
            alerts in any::<u64>(),
            at in 0i64..4_000_000_000,
        ) -> IncidentRef {
            let opened = DateTime::from_timestamp(at, 0).unwrap();
            let lasted = String::new();
            IncidentRef { opened, step: 1, stage, acknowledged_by, details, lasted, alerts, tasks: vec![] }
        }
    }

    prop_compose! {
        fn any_payload()(
            headline in text(2_000),
            lines in prop_oneof![vec(text(700), 0..30), vec(text(9), 0..2_000)],
            link in link(),
            footer in text(900),
            incident in proptest::option::of(incident()),
        ) -> MessagePayload {
            MessagePayload { headline, lines, link, footer, colour: MessageColour::Blue, incident }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn whatever_is_told_slack_takes_it(
            payload in any_payload(),
            prefix in text(500),
            title in text(300),
            route in text(10),
            again in any::<bool>(),
        ) {
            let style = MessageStyle { prefix, title, ..MessageStyle::default() };
            for plain in [false, true] {
                let remarks = MessageRemarks { again, instead_of: Some(&route), buttons: Some(&route), plain };
                for message in [write_message(&payload, &style, remarks), write_news(&payload, &style, remarks)] {
                    let message = serde_json::to_value(message).unwrap();
                    prop_assert_eq!(problems(&message), Vec::<String>::new(), "{}", message);
                }
            }
        }
    }
}
