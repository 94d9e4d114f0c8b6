//! `flowlord token`: who may use the API.

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use serde::Deserialize;
use serde_json::json;

use super::args::ServiceOfFolder;
use super::out;
use super::work::client::ApiClient;

const EXAMPLES: &str = "\
Examples:
  flowlord token add etl-workers --role worker
  flowlord token add pubsub --role push
  flowlord token list
  flowlord token remove etl-workers

Roles: worker (lease, heartbeat, result, create tasks), viewer (read), operator (everything a viewer may, and act),
admin (everything), push (the token in /hooks/TOKEN/files and /hooks/TOKEN/results, for senders that can only configure
a URL). The service must be running. Users who can read its data folder may do this; others need --server and an
admin's --token.";

const PATIENCE: Duration = Duration::from_secs(15);

/// Add, list and remove tokens of the API
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: TokenAction,
    #[command(flatten)]
    folder: ServiceOfFolder,
    /// A service elsewhere
    #[arg(long, global = true, value_name = "URL", env = "FLOWLORD_SERVER")]
    server: Option<String>,
    /// An admin's token, with --server
    #[arg(long, global = true, env = "FLOWLORD_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

#[derive(Debug, Subcommand)]
enum TokenAction {
    /// Make a token and print it, once
    #[command(after_help = "Example:\n  flowlord token add etl-workers --role worker")]
    Add {
        /// Whose it is: letters, digits, ._-@
        name: String,
        /// worker, viewer, operator, admin or push
        #[arg(long)]
        role: String,
    },
    /// Print names and roles
    #[command(after_help = "Example:\n  flowlord token list")]
    List,
    /// Remove a token: it is refused within seconds
    #[command(after_help = "Example:\n  flowlord token remove etl-workers")]
    Remove {
        /// Whose it is
        name: String,
    },
}

#[derive(Deserialize)]
struct AddedToken {
    token: String,
}

#[derive(Deserialize)]
struct TokenList {
    items: Vec<ListedToken>,
}

#[derive(Deserialize)]
struct ListedToken {
    name: String,
    role: String,
    created: String,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = match args.server {
        Some(server) => ApiClient::new(&server, args.token)?,
        None => args.folder.client()?,
    };
    actix_rt::System::new().block_on(act(&client, args.action))?;
    Ok(ExitCode::SUCCESS)
}

async fn act(client: &ApiClient, action: TokenAction) -> anyhow::Result<()> {
    match action {
        TokenAction::Add { name, role } => {
            let made: AddedToken = client.post("/tokens", &json!({ "name": name, "role": role }), PATIENCE).await?;
            out::line(&made.token)?;
        }
        TokenAction::List => {
            let listed: TokenList = client.get("/tokens", PATIENCE).await?;
            for ListedToken { name, role, created } in listed.items {
                out::line(&format!("{name}  {role}  {created}"))?;
            }
        }
        TokenAction::Remove { name } => {
            client.delete(&format!("/tokens/{name}"), PATIENCE).await?;
            out::line(&format!("{name} is removed"))?;
        }
    }
    Ok(())
}
