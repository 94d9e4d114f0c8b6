//! What a message bus puts round a message when it pushes it: Google Pub/Sub, and Amazon SNS.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// A message that can't be taken out of its envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The text of a Pub/Sub message isn't written as it should be.
    #[error("`message.data` is not base64: {0}")]
    Data(String),
    /// SNS asks whether it may send at all.
    #[error("SNS asks to confirm its subscription: open `SubscribeURL` of this message once, {0}")]
    Unconfirmed(String),
}

/// Both envelopes; each has what the other doesn't.
#[derive(Deserialize)]
struct BusEnvelope {
    message: Option<PubSubMessage>,
    subscription: Option<String>,
    #[serde(rename = "Type")]
    kind: Option<String>,
    #[serde(rename = "Message")]
    text: Option<String>,
    #[serde(rename = "SubscribeURL")]
    subscribe: Option<String>,
    #[serde(rename = "TopicArn")]
    topic: Option<String>,
}

#[derive(Deserialize)]
struct PubSubMessage {
    data: Option<String>,
}

/// The message within an envelope; none when the text is no envelope.
pub fn open_envelope(text: &[u8]) -> Result<Option<Vec<u8>>, EnvelopeError> {
    // The next reader says what is wrong with text that is no JSON.
    let Ok(envelope) = serde_json::from_slice::<BusEnvelope>(text) else { return Ok(None) };
    match envelope {
        BusEnvelope { message: Some(message), subscription, .. }
            if subscription.is_some() || message.data.is_some() =>
        {
            let data = STANDARD.decode(message.data.unwrap_or_default());
            data.map(Some).map_err(|err| EnvelopeError::Data(err.to_string()))
        }
        BusEnvelope { topic: Some(_), text: Some(text), kind, subscribe, .. } => match kind.as_deref() {
            // Nothing here opens addresses that a message names.
            Some("SubscriptionConfirmation") => Err(EnvelopeError::Unconfirmed(subscribe.unwrap_or_default())),
            _ => Ok(Some(text.into_bytes())),
        },
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn unwrapped(envelope: &serde_json::Value) -> Result<Option<Vec<u8>>, EnvelopeError> {
        open_envelope(envelope.to_string().as_bytes())
    }

    #[test]
    fn a_message_is_taken_out_of_either_envelope() {
        let pub_sub = json!({
            "message": {"data": STANDARD.encode("{\"type\":\"a\"}"), "messageId": "7", "attributes": {"k": "v"}},
            "subscription": "projects/p/subscriptions/s",
        });
        let sns = json!({
            "Type": "Notification", "MessageId": "7", "TopicArn": "arn:aws:sns:x", "Message": "{\"type\":\"a\"}",
            "Timestamp": "2026-03-02T12:00:00Z", "SignatureVersion": "1",
        });
        for envelope in [pub_sub, sns] {
            assert_eq!(unwrapped(&envelope), Ok(Some(b"{\"type\":\"a\"}".to_vec())), "{envelope}");
        }
        let empty = json!({"message": {"messageId": "7"}, "subscription": "s"});
        assert_eq!(unwrapped(&empty), Ok(Some(Vec::new())));
    }

    #[test]
    fn what_is_no_envelope_is_left_as_it_is() {
        for plain in [
            json!({"type": "a", "info": "x", "msg": "done"}),
            json!({"message": "done", "type": "a"}),
            json!({"message": {"text": "x"}}),
            json!({"Type": "a", "Message": "done"}),
            json!([{"message": {"data": "eA=="}}]),
            json!(5),
        ] {
            assert_eq!(unwrapped(&plain), Ok(None), "{plain}");
        }
        assert_eq!(open_envelope(b"{} {}"), Ok(None));
    }

    #[test]
    fn what_cannot_be_taken_out_says_why() {
        let broken = json!({"message": {"data": "%"}});
        assert!(matches!(unwrapped(&broken), Err(EnvelopeError::Data(_))));
        let asks = json!({
            "Type": "SubscriptionConfirmation", "TopicArn": "arn", "Message": "You have chosen",
            "SubscribeURL": "https://sns.example/confirm",
        });
        let why = unwrapped(&asks).unwrap_err().to_string();
        assert!(why.contains("https://sns.example/confirm"), "{why}");
    }

    #[test]
    fn sns_asks_once_and_says_where_even_when_it_forgot_that() {
        let sns = |kind: &str| json!({"Type": kind, "TopicArn": "arn", "Message": "text"});
        assert_eq!(unwrapped(&sns("SubscriptionConfirmation")), Err(EnvelopeError::Unconfirmed(String::new())));
        assert_eq!(unwrapped(&sns("UnsubscribeConfirmation")), Ok(Some(b"text".to_vec())));
        let without_kind = json!({"TopicArn": "arn", "Message": "text"});
        assert_eq!(unwrapped(&without_kind), Ok(Some(b"text".to_vec())));
    }

    #[test]
    fn one_sign_of_pub_sub_is_enough() {
        let data = json!({"message": {"data": STANDARD.encode("x")}});
        assert_eq!(unwrapped(&data), Ok(Some(b"x".to_vec())), "a push without a subscription");
        let why = unwrapped(&json!({"message": {"data": "eA"}})).unwrap_err().to_string();
        assert!(why.starts_with("`message.data` is not base64: "), "{why}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = open_envelope(&bytes);
        }
    }
}
