//! The configuration: flags over environment over file over image, read once, checked, and typed.
//!
//! Everything else of flowlord gets a [`Config`] and never looks at a file, a flag or a variable itself.

pub mod keys;
mod layers;
mod legacy;
mod links;
mod notify;
mod print;
mod read;
mod routes;
mod server;
mod stores;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::PathBuf;

use chrono::TimeDelta;
use chrono_tz::Tz;
use flowlord_domain::task_link::TaskLink;
use flowlord_messages::cluster::NodeAddress;
use flowlord_replica::StreamConfig;
use flowlord_storage::{StorageConfig, StorageLocation};
use flowlord_web_core::auth::TrustedProxies;
use flowlord_web_core::context::TlsFiles;

pub use flowlord_domain::Secret;
pub use legacy::{OldFlag, old_flag};
pub use notify::NotifyConfig;
pub use routes::RouteConfig;
pub use server::{DeadmanConfig, LimitConfig};

use read::{KILOBYTE, ValueReader};

/// The configuration that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Workflow files: a file or a folder.
    pub workflow: StorageLocation,
    /// How often they are looked at.
    pub refresh: TimeDelta,
    /// Address and port to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The address in links that people click, if given: see [`Config::public_url_at`].
    pub public_url: Option<String>,
    pub data: PathBuf,
    pub timezone: Tz,
    pub tasks: TaskConfig,
    pub history: HistoryConfig,
    pub logs: LogConfig,
    pub backup: BackupConfig,
    /// `[cluster]`; none for a service of its own.
    pub cluster: Option<ClusterConfig>,
    pub notify: NotifyConfig,
    pub auth: AuthConfig,
    /// `[tls]`; none for plain HTTP.
    pub tls: Option<TlsFiles>,
    pub limits: LimitConfig,
    /// As many tasks of each group of phases may be at work at a time.
    pub groups: BTreeMap<String, u32>,
    pub deadman: DeadmanConfig,
    pub files: FilesConfig,
    pub store: StorageConfig,
    /// `[links]`, by name.
    pub links: Vec<TaskLink>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskConfig {
    /// A task unfinished this long after its creation raises an alert.
    pub ttl: TimeDelta,
    /// How long a lease lasts unless its worker asks for something else.
    pub lease: TimeDelta,
    /// Ready tasks for which no worker asked for so long raise an alert; zero for never.
    pub no_workers: TimeDelta,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryConfig {
    /// How long finished tasks are kept.
    pub retention: TimeDelta,
}

/// What the logs of tasks may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// How long they are kept.
    pub keep: TimeDelta,
    /// How much of the log of one attempt is kept, in bytes.
    pub max_task: u64,
    /// How much all logs take at most, in bytes.
    pub max_total: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupConfig {
    /// Where snapshots are kept; none for no backup.
    pub path: Option<StorageLocation>,
    /// How often a snapshot is made.
    pub every: TimeDelta,
    /// How often changes go there between snapshots; zero for never.
    pub ship_every: TimeDelta,
    pub keep: u32,
}

impl BackupConfig {
    /// How often changes are sent to the backup's place, where there is one.
    pub fn shipping(&self) -> Option<TimeDelta> {
        self.path.as_ref().map(|_| self.ship_every).filter(|every| !every.is_zero())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    pub address: NodeAddress,
    /// The stream that keeps the log; none where the backup's place does.
    pub log: Option<StreamConfig>,
    /// It never is the first to lead: `serve --standby`.
    pub is_standby: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthConfig {
    /// Answer anyone also when listening beyond this machine.
    pub allow_anonymous: bool,
    /// Ask for tokens also on loopback.
    pub required: bool,
    /// Show `/metrics` to anyone.
    pub open_metrics: bool,
    /// Proxies that are believed when they say for whom they speak.
    pub trusted_proxies: TrustedProxies,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesConfig {
    /// Places that are watched.
    pub folders: Vec<StorageLocation>,
    /// Folders that meta files may be in, besides that of the workflows.
    pub allow: Vec<PathBuf>,
    /// How often they are looked at.
    pub every: TimeDelta,
}

/// Where the configuration comes from, from the strongest to the weakest.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Flags: the key, and its value.
    pub flags: Vec<(String, String)>,
    /// Environment variables; those that begin with `FLOWLORD_`, and of stores with `AWS_` or `GOOGLE_`. What begins
    /// with `FLOWLORD_IMAGE__` is the image's, below the file.
    pub env: Vec<(String, String)>,
    pub file: Option<PathBuf>,
    /// The file that is read when it is there and none was named.
    pub default_file: Option<PathBuf>,
    /// What a command puts in the place of the usual defaults: the key, and its value.
    pub defaults: Vec<(String, String)>,
}

impl Sources {
    /// This process's environment, and `./flowlord.toml`.
    pub fn of_process(flags: Vec<(String, String)>, file: Option<PathBuf>) -> Self {
        // Not `vars`, which panics where a variable of another program isn't UTF-8.
        let env = std::env::vars_os().map(|(name, value)| (lossy_text(&name), lossy_text(&value))).collect();
        let default_file = Some("flowlord.toml".into());
        Self { flags, env, file, default_file, defaults: Vec::new() }
    }
}

fn lossy_text(text: &OsStr) -> String {
    text.to_string_lossy().into_owned()
}

#[derive(Debug, Clone)]
pub struct LoadedConfig {
    pub config: Config,
    /// What people should know about it.
    pub warnings: Vec<String>,
    effective: Vec<print::EffectiveValue>,
}

impl LoadedConfig {
    /// Whether a flag, a variable or the file sets a key.
    pub fn is_set(&self, key: &str) -> bool {
        self.effective.iter().any(|line| line.is_set(key))
    }

    /// The effective values as TOML, secrets masked, with where each comes from.
    pub fn to_toml(&self) -> String {
        print::write_toml(&self.effective)
    }
}

/// Everything that is wrong with a configuration, one text each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigErrors(pub Vec<String>);

impl Config {
    /// Reads the layers, checks every value, and says all that is wrong at once.
    pub fn load(sources: &Sources) -> Result<LoadedConfig, ConfigErrors> {
        let layers = layers::load_layers(sources);
        let mut reader = ValueReader::new(layers.values, layers.errors, layers.warnings);
        let mut config = Self::read(&mut reader);
        config.store.env = stores::variables(&sources.env);
        config.judge(&mut reader);
        if !reader.errors.is_empty() {
            return Err(ConfigErrors(reader.errors));
        }
        let effective = print::effective_values(&config, &reader);
        Ok(LoadedConfig { config, warnings: reader.warnings, effective })
    }

    /// The data folder alone, for commands that need nothing else.
    pub fn data_folder(sources: &Sources) -> Result<PathBuf, ConfigErrors> {
        // Not `load`: a broken value elsewhere must keep nobody from a command that only needs the folder.
        let layers = layers::load_layers(sources);
        let mut reader = ValueReader::new(layers.values, layers.errors, layers.warnings);
        let data = reader.folder("data");
        if reader.errors.is_empty() { Ok(data) } else { Err(ConfigErrors(reader.errors)) }
    }

    /// Where snapshots are: in the backup's place, else in the data folder.
    pub fn snapshots(&self) -> StorageLocation {
        self.backup.path.clone().unwrap_or_else(|| StorageLocation::Local(self.data.join("snapshots")))
    }

    /// Where copies are made on their way to a place that isn't on this machine.
    pub fn spool(&self) -> PathBuf {
        self.data.join("spool")
    }

    /// Whether requests without a token may do everything.
    pub fn is_open(&self) -> bool {
        self.auth.allow_anonymous || self.listen.ip().is_loopback() && !self.auth.required
    }

    /// How the service is spoken to: `https` where there is a certificate.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// The address in links: as configured, else this machine at the port that the service got.
    pub fn public_url_at(&self, address: SocketAddr) -> String {
        match &self.public_url {
            Some(url) => url.clone(),
            None if address.ip().is_loopback() || address.ip().is_unspecified() => {
                format!("{}://localhost:{}", self.scheme(), address.port())
            }
            None => format!("{}://{address}", self.scheme()),
        }
    }

    fn read(from: &mut ValueReader) -> Self {
        let listen = from.address("listen");
        Self {
            workflow: from.location("workflow"),
            refresh: from.duration("refresh", TimeDelta::seconds(1), TimeDelta::days(365)),
            listen,
            public_url: from.public_url("public_url", listen.port()),
            data: from.folder("data"),
            timezone: from.timezone("timezone"),
            tasks: TaskConfig {
                ttl: from.duration("tasks.ttl", TimeDelta::seconds(1), TimeDelta::days(365)),
                lease: from.duration("tasks.lease", TimeDelta::seconds(5), TimeDelta::hours(24)),
                no_workers: from.duration("tasks.no_workers", TimeDelta::zero(), TimeDelta::days(365)),
            },
            history: HistoryConfig { retention: from.duration("history.retention", DAY, DAY * 36_500) },
            logs: LogConfig {
                keep: from.duration("logs.keep", DAY, DAY * 3_650),
                max_task: from.size("logs.max_task", 4 * KILOBYTE, 16 * KILOBYTE * KILOBYTE),
                max_total: from.size("logs.max_total", 10 * KILOBYTE.pow(2), 10 * KILOBYTE.pow(4)),
            },
            backup: BackupConfig {
                path: from.optional_location("backup.path"),
                every: from.duration("backup.every", TimeDelta::minutes(1), DAY * 365),
                ship_every: from.duration("backup.ship_every", TimeDelta::zero(), TimeDelta::hours(1)),
                keep: from.number("backup.keep", 1, 10_000),
            },
            cluster: server::cluster(from),
            notify: NotifyConfig::read(from),
            auth: AuthConfig {
                allow_anonymous: from.switch("auth.allow_anonymous"),
                required: from.switch("auth.required"),
                open_metrics: from.switch("auth.open_metrics"),
                trusted_proxies: from.proxies("auth.trusted_proxies"),
            },
            tls: server::tls(from),
            limits: server::limits(from),
            groups: server::groups(from),
            deadman: server::deadman(from),
            files: FilesConfig {
                folders: from.locations("files.folders"),
                allow: from.list("files.allow").into_iter().map(PathBuf::from).collect(),
                every: from.duration("files.every", TimeDelta::seconds(1), DAY),
            },
            store: stores::read(from),
            links: links::read(from),
        }
    }

    fn judge(&self, reader: &mut ValueReader) {
        self.notify.judge(reader);
        if self.auth.allow_anonymous && self.auth.required {
            reader.error("auth.required", "auth.allow_anonymous is set too: keep one of them");
        } else if self.auth.allow_anonymous && !self.listen.ip().is_loopback() {
            reader.warn("auth.allow_anonymous", "everybody who can reach the port can start tasks and read everything");
        }
        self.files.judge(reader);
        if self.cluster.is_some() && self.backup.shipping().is_none() {
            let needed = "a cluster shares its log there: set backup.path, and backup.ship_every to more than 0s";
            reader.error("backup.path", needed);
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::read(&mut ValueReader::new(layers::default_values(), Vec::new(), Vec::new()))
    }
}

const DAY: TimeDelta = TimeDelta::days(1);

impl FilesConfig {
    fn judge(&self, reader: &mut ValueReader) {
        for (at, place) in self.folders.iter().enumerate() {
            // One place within another would tell of its files twice.
            let mut others = self.folders.iter().enumerate().filter(|(n, _)| *n != at);
            if let Some((_, other)) = others.find(|(_, other)| is_within(place, other)) {
                let detail = format!("{place} is within {other}, which is watched with everything below it: remove it");
                return reader.error("files.folders", &detail);
            }
        }
        if self.folders.is_empty() && reader.is_set("files.every") {
            reader.warn("files.every", "there are no files.folders to watch");
        }
    }
}

/// Whether a place is another one, or below it: with the slash, `/in` doesn't hold `/inbox`.
fn is_within(place: &StorageLocation, other: &StorageLocation) -> bool {
    let [place, other] = [place, other].map(|place| format!("{}/", place.to_string().trim_end_matches('/')));
    place.starts_with(&other)
}
