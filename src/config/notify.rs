//! `[notify]`: where people are told, and how often.

use chrono::TimeDelta;
use flowlord_domain::alert::AlertMatcher;
use flowlord_domain::escalation::{EscalationPolicy, EscalationRoute, QuietHours};

use super::read::ValueReader;
use super::routes::{DEFAULT, RouteConfig, judge_fallback, read_ladder, read_quiet};
use super::{DAY, Secret};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyConfig {
    pub url: Option<Secret>,
    pub token: Option<Secret>,
    /// An app-level token: clicks on buttons come through Socket Mode.
    pub app_token: Option<Secret>,
    /// What Slack signs its requests with: clicks on buttons come to `/slack/interactive`.
    pub signing_secret: Option<Secret>,
    pub channel: Option<String>,
    /// The base of the Slack API; ends with a slash.
    pub api_url: String,
    /// How long a way must fail before the one of the fallback route is taken.
    pub fallback_after: TimeDelta,
    pub prefix: String,
    pub title: String,
    pub ladder: EscalationPolicy,
    pub quiet: Option<QuietHours>,
    /// The route whose way is taken when this one's fails for long.
    pub fallback: Option<String>,
    /// Other places for some alerts, in the order in which they are tried.
    pub routes: Vec<RouteConfig>,
    /// Whether messages go to a page of the service, which stands in for Slack: only in the demo.
    pub is_simulated: bool,
}

impl NotifyConfig {
    pub(super) fn read(from: &mut ValueReader) -> Self {
        let ladder = read_ladder(from, "notify", EscalationPolicy::default());
        Self {
            url: from.secret_url("notify.url"),
            token: from.secret("notify.token"),
            app_token: from.secret("notify.app_token"),
            signing_secret: from.secret("notify.signing_secret"),
            channel: from.optional("notify.channel"),
            api_url: from.url("notify.api_url").map_or_else(String::new, |url| format!("{url}/")),
            fallback_after: from.duration("notify.fallback_after", TimeDelta::seconds(1), DAY),
            prefix: from.text("notify.prefix"),
            title: from.text("notify.title"),
            ladder,
            quiet: read_quiet(from, "notify"),
            fallback: from.optional("notify.fallback"),
            routes: RouteConfig::read_all(from, ladder),
            is_simulated: false,
        }
    }

    /// The ladders, and which alerts are for each: the first that takes one has it.
    pub fn ladders(&self) -> Vec<EscalationRoute> {
        // The last one: an alert goes to the first route that matches, and this one takes all.
        let rest = EscalationRoute {
            name: DEFAULT.to_owned(),
            matcher: AlertMatcher::default(),
            policy: self.ladder,
            quiet: self.quiet,
        };
        self.routes.iter().map(RouteConfig::to_ladder).chain([rest]).collect()
    }

    /// Whether the messages of the default route go anywhere.
    pub fn leads_somewhere(&self) -> bool {
        self.url.is_some() || self.token.is_some()
    }

    /// Sends all messages to the page that stands in for Slack, as a bot would.
    pub fn simulate_slack(&mut self, token: Secret, signing_secret: Secret) {
        self.token = Some(token);
        self.signing_secret = Some(signing_secret);
        self.channel = Some("#data-alerts".to_owned());
        self.is_simulated = true;
    }

    pub fn hears_clicks(&self) -> bool {
        self.token.is_some() && (self.app_token.is_some() || self.signing_secret.is_some())
    }

    pub(super) fn judge(&self, reader: &mut ValueReader) {
        if self.url.is_some() && self.token.is_some() {
            reader.error("notify.url", "notify.token is set too: keep the webhook or the bot token");
        }
        if let Some(fallback) = &self.fallback {
            judge_fallback(reader, "notify.fallback", fallback, "default", self);
        }
        self.routes.iter().for_each(|route| route.judge(self, reader));
        if self.token.is_some() && self.channel.is_none() {
            reader.error("notify.token", "a bot token needs notify.channel, like \"#data-alerts\"");
        }
        if self.app_token.as_ref().is_some_and(|token| !token.expose().starts_with("xapp-")) {
            reader.error(
                "notify.app_token",
                "an app-level token begins with xapp-: create one with the scope connections:write under Basic \
                 Information in the app's settings",
            );
        }
        for (key, secret) in [("notify.app_token", &self.app_token), ("notify.signing_secret", &self.signing_secret)] {
            // A webhook's messages can't have buttons that do anything.
            if secret.is_some() && self.token.is_none() {
                reader.warn(key, "there are no buttons without a bot token: set notify.token");
            }
        }
    }
}
