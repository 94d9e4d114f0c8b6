//! Every key of the configuration as a flag.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::builder::NonEmptyStringValueParser;
use clap::error::Error;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use flowlord::Config;
use flowlord::config::keys::{ConfigKey, KEYS};
use flowlord::config::{LoadedConfig, Sources};
use flowlord::running::Running;
use flowlord_db::DATABASE;

use super::UsageError;
use super::work::client::ApiClient;

/// `--config`, and a flag per key: `tasks.lease` is `--tasks-lease`.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConfigFlags {
    file: Option<PathBuf>,
    values: Vec<(String, String)>,
}

impl ConfigFlags {
    /// The flags of a command that takes only some of the keys.
    pub(crate) fn only(file: Option<PathBuf>, values: Vec<(String, String)>) -> Self {
        Self { file, values }
    }

    /// Reads all layers; `defaults` go over the usual ones. Warnings go to the log.
    pub(crate) fn load(&self, defaults: &[(&str, &str)]) -> anyhow::Result<LoadedConfig> {
        let mut sources = Sources::of_process(self.values.clone(), self.file.clone());
        sources.defaults = defaults.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let loaded = Config::load(&sources).map_err(|err| UsageError(err.into()))?;
        for warning in &loaded.warnings {
            log::warn!("event=config_warning detail={warning:?}");
        }
        Ok(loaded)
    }
}

/// Which data folder's service is meant.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServiceOfFolder {
    /// The data folder of the service [env: FLOWLORD_DATA=] [default: as configured, else ./data]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The configuration file that names the data folder [env: FLOWLORD_CONFIG=] [default: ./flowlord.toml if it is there]
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ServiceOfFolder {
    /// A client of the service that runs on the folder.
    pub(crate) fn client(&self) -> anyhow::Result<ApiClient> {
        let data = self.data_folder()?;
        let running = Running::of(&data).with_context(|| {
            format!("no service runs on {}: start it, or name it with --data or --server", data.display())
        })?;
        ApiClient::of_running(&running)
    }

    /// As it was named or configured.
    pub(crate) fn data_folder(&self) -> anyhow::Result<PathBuf> {
        match &self.data {
            Some(data) => Ok(data.clone()),
            None => Ok(Config::data_folder(&Sources::of_process(Vec::new(), self.config.clone()))?),
        }
    }
}

/// Which service a command asks.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Service")]
pub(crate) struct ServiceArgs {
    /// The data folder of a service on this machine [env: FLOWLORD_DATA=] [default: as configured, else ./data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The configuration file that names the data folder [env: FLOWLORD_CONFIG=] [default: ./flowlord.toml if it is there]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A service elsewhere
    #[arg(long, value_name = "URL", env = "FLOWLORD_SERVER")]
    server: Option<String>,
    /// A token, with --server
    #[arg(long, env = "FLOWLORD_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl ServiceArgs {
    /// What the environment says, where there are no flags.
    pub(crate) fn of_environment() -> Self {
        let [server, token] = ["FLOWLORD_SERVER", "FLOWLORD_TOKEN"].map(|name| std::env::var(name).ok());
        Self { data: None, config: None, server, token }
    }

    pub(crate) fn client(&self) -> anyhow::Result<ApiClient> {
        match &self.server {
            Some(server) => ApiClient::new(server, self.token.clone()),
            None => ServiceOfFolder { data: self.data.clone(), config: self.config.clone() }.client(),
        }
    }
}

/// The database in a data folder.
pub(crate) fn existing_database(data: &Path) -> anyhow::Result<PathBuf> {
    let database = data.join(DATABASE);
    anyhow::ensure!(database.exists(), "there is no database {}: name its folder with --data", database.display());
    Ok(database)
}

/// The service that has the lock of a data folder.
pub(crate) fn service_on(data: &Path) -> anyhow::Result<Running> {
    Running::of(data).with_context(|| format!("a service uses {} and doesn't say where it listens", data.display()))
}

fn flag(key: &ConfigKey) -> String {
    key.name.replace(['.', '_'], "-")
}

fn arg(key: &'static ConfigKey) -> Arg {
    let heading = key.name.split_once('.').map_or("Configuration", |(section, _)| section);
    let help = match key.default {
        // A flag is in everyone's list of processes.
        "" if key.secret => format!("{}; better in the environment or a file", key.help),
        "" => key.help.to_owned(),
        default => format!("{} [default: {default}]", key.help),
    };
    Arg::new(key.name).overrides_with(key.name).long(flag(key)).value_name("VALUE").help(help).help_heading(heading)
}

impl Args for ConfigFlags {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .short('c')
            .value_name("FILE")
            .value_parser(NonEmptyStringValueParser::new())
            .help("The configuration file [env: FLOWLORD_CONFIG=] [default: ./flowlord.toml if it is there]")
            .help_heading("Configuration");
        command.arg(config).args(KEYS.iter().map(arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ConfigFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.file = matches.get_one::<String>("config").map(PathBuf::from);
        for key in KEYS {
            // Only what was written: a default here would go over the file and the environment.
            if matches.value_source(key.name) == Some(ValueSource::CommandLine)
                && let Some(value) = matches.get_one::<String>(key.name)
            {
                self.values.push((key.name.to_owned(), value.clone()));
            }
        }
        Ok(())
    }
}
