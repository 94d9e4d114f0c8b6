//! `[notify.routes.NAME]`: other places than the usual one for some alerts.

use flowlord_domain::alert::Matcher;
use flowlord_domain::duration;
use flowlord_domain::ladder::{Policy, QuietHours};

use super::keys::{Key, ROUTE_KEYS, ROUTES};
use super::notify::Notify;
use super::print::Line;
use super::read::Reader;
use super::{DAY, Secret};

/// The route that takes what no other takes: `[notify]` itself.
pub(super) const DEFAULT: &str = "default";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub name: String,
    /// Which alerts it takes.
    pub matcher: Matcher,
    pub url: Option<Secret>,
    /// A channel, for the bot.
    pub channel: Option<String>,
    /// The route whose way is taken when this one's fails for long.
    pub fallback: String,
    /// How often it may be told.
    pub ladder: Policy,
    /// Hours in which it isn't told.
    pub quiet: Option<QuietHours>,
}

impl Route {
    /// All routes, by name; what one doesn't say is as in `[notify]`.
    pub(super) fn read_all(from: &mut Reader, ladder: Policy) -> Vec<Self> {
        from.names_in(ROUTES).into_iter().map(|name| Self::read(from, name, ladder)).collect()
    }

    fn read(from: &mut Reader, name: String, usual: Policy) -> Self {
        let key = |key: &str| format!("{ROUTES}.{name}.{key}");
        Self {
            matcher: Matcher {
                topic: from.optional(&key("type")),
                job: from.optional(&key("job")),
                workflow: from.optional(&key("workflow")),
            },
            url: from.secret_url(&key("url")),
            channel: from.optional(&key("channel")),
            fallback: from.optional(&key("fallback")).unwrap_or_else(|| DEFAULT.to_owned()),
            ladder: read_ladder(from, &format!("{ROUTES}.{name}"), usual),
            quiet: read_quiet(from, &format!("{ROUTES}.{name}")),
            name,
        }
    }

    /// What single values can't show.
    pub(super) fn judge(&self, notify: &Notify, reader: &mut Reader) {
        let section = format!("{ROUTES}.{}", self.name);
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
        if self.name.is_empty() || self.name.len() > 100 || !self.name.chars().all(fits) {
            reader.error(
                &section,
                "the name of a route has lower-case letters, digits, dashes and underscores",
            );
        }
        if self.name == DEFAULT {
            reader.error(&section, "the default route is [notify] itself: write its keys there");
        }
        self.judge_place(notify, &section, reader);
        if self.matcher.is_all() {
            reader.warn(&section, "it matches all alerts: restrict it by type, job or workflow");
        }
        judge_fallback(reader, &format!("{section}.fallback"), &self.fallback, &self.name, notify);
    }

    /// It must lead somewhere, to one place.
    fn judge_place(&self, notify: &Notify, section: &str, reader: &mut Reader) {
        let (key, what) = match (&self.url, &self.channel) {
            (Some(_), Some(_)) => {
                (".url", "a channel is set too: keep the webhook, or the channel for the bot")
            }
            (None, None) => ("", "it has no destination: give it a url (a webhook) or a channel"),
            (None, Some(_)) if notify.token.is_none() => {
                (".channel", "a channel needs the bot of notify.token; or give the route a url (a webhook)")
            }
            _ => return,
        };
        reader.error(&format!("{section}{key}"), what);
    }

    /// What counts for each of its keys.
    pub(super) fn lines(&self, reader: &Reader) -> Vec<Line> {
        let line = |key: &'static Key| {
            let name = format!("{ROUTES}.{}.{}", self.name, key.name);
            let source = reader.source(&name);
            let value = match key.name {
                "url" => self.url.as_ref().map(ToString::to_string).unwrap_or_default(),
                "fallback" => self.fallback.clone(),
                "min_frequency" => duration::print(self.ladder.min),
                "max_frequency" => duration::print(self.ladder.max),
                "factor_up" => self.ladder.factor_up.to_string(),
                "factor_down" => self.ladder.factor_down.to_string(),
                "quiet_ticks" => self.ladder.quiet_ticks.to_string(),
                _ => reader.text(&name),
            };
            Line::new(key, name, value, source)
        };
        ROUTE_KEYS.iter().map(line).collect()
    }
}

/// A fallback must be there, and be another one.
pub(super) fn judge_fallback(reader: &mut Reader, key: &str, fallback: &str, own: &str, notify: &Notify) {
    let others: Vec<&str> = notify
        .routes
        .iter()
        .map(|route| route.name.as_str())
        .chain([DEFAULT])
        .filter(|name| *name != own)
        .collect();
    if !others.contains(&fallback) {
        let known = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        reader.error(key, &format!("`{fallback}` is not another route: there are {known}"));
    }
}

/// The ladder of a section; what it doesn't say is as usual.
pub(super) fn read_ladder(from: &mut Reader, section: &str, usual: Policy) -> Policy {
    let key = |key: &str| format!("{section}.{key}");
    let second = chrono::TimeDelta::seconds(1);
    let given = |from: &Reader, name: &str| from.optional(&key(name)).is_some();
    let min = if given(from, "min_frequency") {
        from.duration(&key("min_frequency"), second, DAY)
    } else {
        usual.min
    };
    let max = if given(from, "max_frequency") || given(from, "min_frequency") {
        from.longest_pause(&key("max_frequency"), min)
    } else {
        usual.max
    };
    Policy {
        min,
        max,
        factor_up: from.factor(&key("factor_up"), usual.factor_up, false),
        factor_down: from.factor(&key("factor_down"), usual.factor_down, true),
        quiet_ticks: match given(from, "quiet_ticks") {
            true => from.number(&key("quiet_ticks"), 1, 1_000),
            false => usual.quiet_ticks,
        },
    }
}

/// The quiet hours of a section, by the clock of its zone or of the usual one.
pub(super) fn read_quiet(from: &mut Reader, section: &str) -> Option<QuietHours> {
    let (hours, zone) = (format!("{section}.quiet_hours"), format!("{section}.quiet_zone"));
    let Some(text) = from.optional(&hours) else {
        if from.optional(&zone).is_some() {
            from.warn(&zone, &format!("{hours} is not set: set it, like \"22:00-07:00\""));
        }
        return None;
    };
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
