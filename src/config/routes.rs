//! `[notify.routes.NAME]`: other places than the usual one for some alerts.

use chrono::TimeDelta;
use flowlord_domain::alert::AlertMatcher;
use flowlord_domain::duration;
use flowlord_domain::escalation::{EscalationPolicy, EscalationRoute, QuietHours};

use super::keys::{ConfigKey, ROUTE_KEYS, ROUTES};
use super::notify::NotifyConfig;
use super::print::EffectiveValue;
use super::read::ValueReader;
use super::{DAY, Secret};

/// The route that takes what no other takes: `[notify]` itself.
pub(super) const DEFAULT: &str = "default";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteConfig {
    pub name: String,
    pub matcher: AlertMatcher,
    pub url: Option<Secret>,
    pub channel: Option<String>,
    /// The route whose way is taken when this one's fails for long.
    pub fallback: String,
    pub ladder: EscalationPolicy,
    pub quiet: Option<QuietHours>,
}

impl RouteConfig {
    /// All routes, by name; what one doesn't say is as in `[notify]`.
    pub(super) fn read_all(from: &mut ValueReader, ladder: EscalationPolicy) -> Vec<Self> {
        from.names_in(ROUTES).into_iter().map(|name| Self::read(from, name, ladder)).collect()
    }

    fn read(from: &mut ValueReader, name: String, usual: EscalationPolicy) -> Self {
        let section = format!("{ROUTES}.{name}");
        Self {
            matcher: AlertMatcher {
                topic: from.optional(&format!("{section}.type")),
                job: from.optional(&format!("{section}.job")),
                workflow: from.optional(&format!("{section}.workflow")),
                owner: from.optional(&format!("{section}.owner")),
            },
            url: from.secret_url(&format!("{section}.url")),
            channel: from.optional(&format!("{section}.channel")),
            fallback: from.optional(&format!("{section}.fallback")).unwrap_or_else(|| DEFAULT.to_owned()),
            ladder: read_ladder(from, &section, usual),
            quiet: read_quiet(from, &section),
            name,
        }
    }

    pub(super) fn judge(&self, notify: &NotifyConfig, reader: &mut ValueReader) {
        let section = format!("{ROUTES}.{}", self.name);
        if self.name.is_empty() || self.name.len() > 100 || !self.name.chars().all(is_name_char) {
            reader.error(&section, "the name of a route has lower-case letters, digits, dashes and underscores");
        }
        if self.name == DEFAULT {
            reader.error(&section, "the default route is [notify] itself: write its keys there");
        }
        self.judge_place(notify, &section, reader);
        // Routes are tried by name, so this may take what another one is for.
        if self.matcher.is_all() {
            reader.warn(&section, "it matches all alerts: restrict it by type, job, workflow or owner");
        }
        judge_fallback(reader, &format!("{section}.fallback"), &self.fallback, &self.name, notify);
    }

    pub(super) fn to_ladder(&self) -> EscalationRoute {
        EscalationRoute {
            name: self.name.clone(),
            matcher: self.matcher.clone(),
            policy: self.ladder,
            quiet: self.quiet,
        }
    }

    fn judge_place(&self, notify: &NotifyConfig, section: &str, reader: &mut ValueReader) {
        let (key, what) = match (&self.url, &self.channel) {
            (Some(_), Some(_)) => (".url", "a channel is set too: keep the webhook, or the channel for the bot"),
            (None, None) => ("", "it has no destination: give it a url (a webhook) or a channel"),
            (None, Some(_)) if notify.token.is_none() => {
                (".channel", "a channel needs the bot of notify.token; or give the route a url (a webhook)")
            }
            _ => return,
        };
        reader.error(&format!("{section}{key}"), what);
    }

    pub(super) fn effective_values(&self, reader: &ValueReader) -> Vec<EffectiveValue> {
        ROUTE_KEYS.iter().map(|key| self.effective_value(key, reader)).collect()
    }

    fn effective_value(&self, key: &'static ConfigKey, reader: &ValueReader) -> EffectiveValue {
        let name = format!("{ROUTES}.{}.{}", self.name, key.name);
        let source = reader.source(&name);
        let value = match key.name {
            "url" => self.url.as_ref().map(ToString::to_string).unwrap_or_default(),
            "fallback" => self.fallback.clone(),
            "min_frequency" => duration::print_duration(self.ladder.min_interval),
            "max_frequency" => duration::print_duration(self.ladder.max_interval),
            "factor_up" => self.ladder.factor_up.to_string(),
            "factor_down" => self.ladder.factor_down.to_string(),
            "quiet_ticks" => self.ladder.quiet_checks.to_string(),
            _ => reader.text(&name),
        };
        EffectiveValue::new(key, name, value, source)
    }
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c)
}

/// A fallback must be there, and be another one.
pub(super) fn judge_fallback(reader: &mut ValueReader, key: &str, fallback: &str, own: &str, notify: &NotifyConfig) {
    let others: Vec<&str> =
        notify.routes.iter().map(|route| route.name.as_str()).chain([DEFAULT]).filter(|name| *name != own).collect();
    if !others.contains(&fallback) {
        let known = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        reader.error(key, &format!("`{fallback}` is not another route: there are {known}"));
    }
}

/// The ladder of a section; what it doesn't say is as usual.
pub(super) fn read_ladder(from: &mut ValueReader, section: &str, usual: EscalationPolicy) -> EscalationPolicy {
    let (min_key, max_key) = (format!("{section}.min_frequency"), format!("{section}.max_frequency"));
    let ticks_key = format!("{section}.quiet_ticks");
    let has_min = from.optional(&min_key).is_some();
    let min = if has_min { from.duration(&min_key, TimeDelta::seconds(1), DAY) } else { usual.min_interval };
    // Sixteen times its own shortest interval, not the usual longest one, which may be shorter than that.
    let max = if has_min || from.optional(&max_key).is_some() {
        from.longest_pause(&max_key, min)
    } else {
        usual.max_interval
    };
    EscalationPolicy {
        min_interval: min,
        max_interval: max,
        factor_up: from.factor(&format!("{section}.factor_up"), usual.factor_up, false),
        factor_down: from.factor(&format!("{section}.factor_down"), usual.factor_down, true),
        quiet_checks: match from.optional(&ticks_key) {
            Some(_) => from.number(&ticks_key, 1, 1_000),
            None => usual.quiet_checks,
        },
    }
}

/// The quiet hours of a section, by the clock of its zone or of the usual one.
pub(super) fn read_quiet(from: &mut ValueReader, section: &str) -> Option<QuietHours> {
    let (hours, zone) = (format!("{section}.quiet_hours"), format!("{section}.quiet_zone"));
    let Some(text) = from.optional(&hours) else {
        if from.optional(&zone).is_some() {
            from.warn(&zone, &format!("{hours} is not set: set it, like \"22:00-07:00\""));
        }
        return None;
    };
    // The usual zone is that of cron expressions: people expect one clock.
    let zone = if from.optional(&zone).is_some() { zone } else { "timezone".to_owned() };
    let zone = from.timezone(&zone);
    match QuietHours::parse(&text, zone) {
        Ok(quiet) => Some(quiet),
        Err(err) => {
            from.error(&hours, &err.to_string());
            None
        }
    }
}
