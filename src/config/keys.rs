//! Every key of the configuration, in the order in which people read them.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    Text,
    /// A duration: `250ms`, `90s`, `5m`, `4h`, `90d`.
    Duration,
    Number,
    Switch,
    /// A list of texts; in a flag or the environment separated by commas.
    List,
}

#[derive(Debug, Clone, Copy)]
pub struct ConfigKey {
    /// Its name with its section: `tasks.lease`.
    pub name: &'static str,
    /// What counts when nobody sets it; empty for nothing.
    pub default: &'static str,
    pub kind: KeyKind,
    pub secret: bool,
    pub help: &'static str,
}

const fn key(name: &'static str, default: &'static str, kind: KeyKind, help: &'static str) -> ConfigKey {
    ConfigKey { name, default, kind, secret: false, help }
}

const fn secret(name: &'static str, help: &'static str) -> ConfigKey {
    ConfigKey { name, default: "", kind: Text, secret: true, help }
}

use KeyKind::{Duration, List, Number, Switch, Text};

pub const KEYS: &[ConfigKey] = &[
    key("workflow", "./workflows", Text, "Workflow files: a file or a folder, also s3:// or gs://"),
    key("refresh", "15m", Duration, "The interval between scans of the workflow files"),
    key("listen", "127.0.0.1:8080", Text, "Address and port; port 0 picks a free one"),
    key("public_url", "", Text, "The address in links that people click; http://localhost:PORT when empty"),
    key("data", "./data", Text, "The folder of the database"),
    key("timezone", "UTC", Text, "The time zone of cron expressions, like Europe/Berlin"),
    key("tasks.ttl", "4h", Duration, "A task unfinished this long after its creation raises an alert"),
    key("tasks.lease", "60s", Duration, "The length of a lease unless its worker asks for another, 5s to 24h"),
    key(
        "tasks.no_workers",
        "5m",
        Duration,
        "Ready tasks for which no worker asked for so long raise an alert; 0s for never",
    ),
    key("history.retention", "90d", Duration, "How long finished tasks are kept"),
    key("logs.keep", "14d", Duration, "How long the logs of tasks are kept"),
    key("logs.max_task", "256kB", Text, "How much of the log of one attempt is kept: its end"),
    key(
        "logs.max_total",
        "2GB",
        Text,
        "How much all logs take at most; the oldest go first, those of one day take half of it",
    ),
    key("backup.path", "", Text, "Where snapshots are kept: a folder, s3:// or gs://; empty for no backup"),
    key("backup.every", "24h", Duration, "How often a snapshot is taken"),
    key("backup.ship_every", "5s", Duration, "How often changes are sent there between snapshots; 0s for never"),
    key("backup.keep", "7", Number, "How many snapshots are kept"),
    key("cluster.node", "", Text, "The name of this node in a cluster; empty for no cluster"),
    key("cluster.url", "", Text, "Where the other nodes reach this one, like http://10.0.0.5:8080"),
    key(
        "cluster.log",
        "place",
        Text,
        "Where the cluster keeps its log: place for that of backup.path, or nats://a,b,c",
    ),
    secret("cluster.credentials", "For the NATS servers: user:password, a token, or the text of a .creds file"),
    key("cluster.credentials_file", "", Text, "A file that holds the credentials"),
    key("cluster.monitor", "", Text, "Where a NATS server of cluster.log tells about itself, like http://nats:8222"),
    secret("notify.url", "Slack: an incoming webhook"),
    key("notify.url_file", "", Text, "A file that holds the webhook"),
    secret("notify.token", "Slack: a bot token, with a channel"),
    key("notify.token_file", "", Text, "A file that holds the bot token"),
    secret("notify.app_token", "Slack: an app-level token, to receive clicks through Socket Mode"),
    key("notify.app_token_file", "", Text, "A file that holds the app-level token"),
    secret("notify.signing_secret", "Slack: the signing secret, to receive clicks at /slack/interactive"),
    key("notify.signing_secret_file", "", Text, "A file that holds the signing secret"),
    key(
        "notify.fallback_after",
        "15m",
        Duration,
        "How long a route's destination must fail before its fallback is used",
    ),
    key("notify.channel", "", Text, "The channel that messages go to, like #data-alerts"),
    key("notify.api_url", "https://slack.com/api/", Text, "The base URL of the Slack API, for tests and proxies"),
    key("notify.prefix", "", Text, "A prefix of each message, such as the name of the environment"),
    key("notify.title", "", Text, "The title of messages"),
    key("notify.min_frequency", "5m", Duration, "The shortest interval between two checks for new alerts"),
    key("notify.max_frequency", "", Duration, "The longest interval; 16 times the shortest when empty"),
    key("notify.factor_up", "2.0", Number, "The factor by which each summary lengthens the interval"),
    key("notify.factor_down", "2.0", Number, "The factor by which each check without new alerts shortens it"),
    key(
        "notify.quiet_ticks",
        "1",
        Number,
        "How many checks without new alerts, at the shortest interval, end an incident",
    ),
    key("notify.quiet_hours", "", Text, "Hours without summaries, like 22:00-07:00"),
    key("notify.quiet_zone", "", Text, "The time zone of the quiet hours; `timezone` when empty"),
    key("notify.fallback", "", Text, "The route whose destination is used when the one of [notify] fails for long"),
    key("auth.allow_anonymous", "false", Switch, "Require no token, also on addresses other than loopback"),
    key("auth.required", "false", Switch, "Require tokens on loopback too, for a proxy on this machine"),
    key("auth.open_metrics", "false", Switch, "Serve /metrics without a token"),
    key("auth.trusted_proxies", "", List, "Proxies whose X-Forwarded headers are trusted, like 10.0.0.0/8"),
    key("tls.cert", "", Text, "A PEM file with the certificate; plain HTTP when empty"),
    key("tls.key", "", Text, "A PEM file with the private key"),
    key("limits.connections", "10000", Number, "The maximum number of open connections"),
    key("limits.long_polls", "1000", Number, "How many requests of one token may wait for tasks"),
    secret("deadman.url", "The URL of a monitor that is pinged while all is well"),
    key("deadman.url_file", "", Text, "A file that holds the URL"),
    key("deadman.every", "1m", Duration, "How often it is pinged"),
    key("files.folders", "", List, "Folders to watch for new files, also s3:// or gs://"),
    key("files.allow", "", List, "Folders that may contain meta files, besides the workflow folder"),
    key("files.every", "10s", Duration, "How often watched folders are listed"),
    key("store.s3.endpoint", "", Text, "The address of a store other than Amazon S3"),
    key("store.s3.region", "", Text, "Its region"),
    key("store.s3.access_key", "", Text, "The name of the access key"),
    secret("store.s3.secret_key", "The secret of the access key"),
    key("store.s3.secret_key_file", "", Text, "A file that holds the secret of the access key"),
    key("store.gcs.endpoint", "", Text, "The address of a store other than Google Cloud Storage"),
    key("store.gcs.credentials_file", "", Text, "A file with the service account's key"),
    key("store.gcs.access_key", "", Text, "Instead of an account's file: the name of an HMAC key"),
    secret("store.gcs.secret_key", "The secret of the HMAC key"),
    key("store.gcs.secret_key_file", "", Text, "A file that holds the secret of the HMAC key"),
];

pub(super) const LINKS: &str = "links";

/// A link has any name.
pub(super) const LINK_KEY: ConfigKey = key("links.NAME", "", Text, "A link on the page of each task");

pub(super) const ROUTES: &str = "notify.routes";

pub const ROUTE_KEYS: &[ConfigKey] = &[
    key("type", "", Text, "Which alerts: a pattern of the type"),
    key("job", "", Text, "A pattern of the job"),
    key("workflow", "", Text, "A pattern of the workflow file"),
    key("owner", "", Text, "A pattern of the owner of the phase"),
    secret("url", "An incoming webhook"),
    key("url_file", "", Text, "A file that holds the URL"),
    key("channel", "", Text, "Instead: a channel, for the bot of notify.token"),
    key("fallback", "default", Text, "The route whose destination is used when this one's fails for long"),
    key("min_frequency", "", Duration, "As in [notify], like those below"),
    key("max_frequency", "", Duration, "The longest interval"),
    key("factor_up", "", Number, "The factor by which each summary lengthens the interval"),
    key("factor_down", "", Number, "The factor by which each check without new alerts shortens it"),
    key("quiet_ticks", "", Number, "How many checks without new alerts, at the shortest interval, end an incident"),
    key("quiet_hours", "", Text, "Hours without summaries"),
    key("quiet_zone", "", Text, "The time zone of the quiet hours"),
];

/// `[groups]`, whose keys are the names of groups.
pub(super) const GROUPS: &str = "groups";

pub(super) const GROUP_KEY: ConfigKey =
    key("groups.NAME", "", Number, "As many tasks of this group of phases may be at work at a time");

/// The name of a route, and what is meant of it: a key, or nothing for the section itself.
fn in_route(name: &str) -> Option<(&str, &str)> {
    let rest = name.strip_prefix(ROUTES)?.strip_prefix('.')?;
    Some(rest.split_once('.').unwrap_or((rest, "")))
}
pub fn find(name: &str) -> Option<&'static ConfigKey> {
    if name.strip_prefix(GROUPS).is_some_and(|rest| rest.starts_with('.') && rest.len() > 1) {
        return Some(&GROUP_KEY);
    }
    let is_link =
        name.strip_prefix(LINKS).and_then(|rest| rest.strip_prefix('.')).is_some_and(|name| !name.contains('.'));
    match in_route(name) {
        None if is_link => Some(&LINK_KEY),
        Some((_, key)) => ROUTE_KEYS.iter().find(|known| known.name == key),
        None => KEYS.iter().find(|key| key.name == name),
    }
}

/// Whether `name` is a section: the beginning of a key, up to a dot.
pub(super) fn is_section(name: &str) -> bool {
    let is_dynamic = [ROUTES, LINKS, GROUPS].contains(&name) || in_route(name).is_some_and(|(_, key)| key.is_empty());
    is_dynamic || KEYS.iter().any(|key| key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// The known key most like a wrong one: by its whole name, or by its last part in another section.
pub(super) fn nearest(name: &str) -> Option<String> {
    // Less alike, and the hint would be as puzzling as the typo.
    const ALIKE: f64 = 0.8;
    // For a key of a route, its own section is offered with each key: the name of a route is free.
    let of_route = in_route(name)
        .into_iter()
        .flat_map(|(route, _)| ROUTE_KEYS.iter().map(move |key| format!("{ROUTES}.{route}.{}", key.name)));
    let known = KEYS.iter().map(|key| key.name.to_owned()).chain(of_route);
    let scored = known.map(|known| (likeness(name, &known), known));
    scored.filter(|(score, _)| *score >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

fn likeness(name: &str, known: &str) -> f64 {
    // A key that is right but for its section counts as nearly right.
    let of_last_parts = 0.98 * strsim::jaro_winkler(last_part(name), last_part(known));
    strsim::jaro_winkler(name, known).max(of_last_parts)
}

fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or_default()
}
