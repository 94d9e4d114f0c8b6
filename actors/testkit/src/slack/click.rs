//! Clicks: as Slack tells of them, and as it signs what it posts.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{FakeSlack, SlackPost};

/// What Slack posts to a service's own address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedClick {
    pub timestamp: String,
    pub signature: String,
    /// The body, a form.
    pub body: String,
}

impl SlackPost {
    /// The buttons under it, by their action ids, in order.
    #[must_use]
    pub fn buttons(&self) -> Vec<String> {
        let id = |button: &Value| button["action_id"].as_str().map(str::to_owned);
        self.elements().filter_map(id).collect()
    }

    fn elements(&self) -> impl Iterator<Item = &Value> {
        let attachments = self.body["attachments"].as_array().into_iter().flatten();
        let blocks = attachments.filter_map(|attachment| attachment["blocks"].as_array()).flatten();
        let actions = blocks.filter(|block| block["type"] == "actions");
        actions.filter_map(|block| block["elements"].as_array()).flatten()
    }
}

impl FakeSlack {
    /// What Slack tells when somebody clicks a button under a message, the `nth` time.
    ///
    /// # Panics
    /// When there is no such button.
    #[must_use]
    pub fn click(&self, post: &SlackPost, action: &str, by: &str, nth: u32) -> Value {
        let button = post.elements().find(|button| button["action_id"] == action);
        let Some(button) = button else { panic!("no button {action}, but {:?}", post.buttons()) };
        json!({
            "type": "block_actions",
            "user": {"id": format!("U{}", by.to_uppercase()), "username": by, "name": by, "team_id": "T1"},
            "api_app_id": "A1",
            "container": {"type": "message_attachment", "message_ts": post.ts, "channel_id": post.channel},
            "channel": {"id": post.channel, "name": "ops"},
            "message": post.body,
            "response_url": self.response_url(),
            "actions": [{
                "type": "button",
                "action_id": action,
                "block_id": "b",
                "value": button["value"],
                "action_ts": format!("1700000000.{nth:06}"),
            }],
        })
    }

    /// The same as a request to the service, signed with `secret` at `seconds` since 1970.
    #[must_use]
    pub fn signed(&self, click: &Value, secret: &str, seconds: i64) -> SignedClick {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        let body = form.append_pair("payload", &click.to_string()).finish();
        let timestamp = seconds.to_string();
        let signature = sign(secret, &timestamp, &body);
        SignedClick { timestamp, signature, body }
    }
}

#[expect(clippy::expect_used, reason = "any length of key is taken")]
fn sign(secret: &str, timestamp: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
    mac.update(format!("v0:{timestamp}:{body}").as_bytes());
    let digest = mac.finalize().into_bytes();
    digest.iter().fold("v0=".to_owned(), |hex, byte| format!("{hex}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_signs_as_slack_documents() {
        let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
            &channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=\
            &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
            &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
        assert_eq!(sign("8f742231b10e8888abcd99yyyzzz85a5", "1531420618", body), signature);
    }
}
