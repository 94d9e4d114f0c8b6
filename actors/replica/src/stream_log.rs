//! The log in a stream of NATS JetStream: each entry is a message, and its number is the message's sequence.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::push::{Ordered, OrderedConfig};
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, LastRawMessageErrorKind, StorageType, Stream};
use async_nats::jetstream::{Context, ErrorCode};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, ServerAddr};
use bytes::Bytes;
use flowlord_domain::Secret;
use flowlord_storage::{Error, Result};
use futures_util::{FutureExt as _, StreamExt as _};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::append::{AppendOnce, FetchedEntry, TryOutcome};
use crate::entry::LogEntry;

/// How long the servers may take to answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Older servers can't begin a stream at a number, and lose acknowledged messages in ways that were mended since.
const OLDEST_SERVER: [u64; 3] = [2, 10, 23];

/// After so many requests that failed, one after the other, another server is asked: a try of an append is two.
const MAX_UNANSWERED: u32 = 4;

const REPLICAS: usize = 3;

/// What a message has besides its rows, at most.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Where a stream is, and who may read and write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamConfig {
    pub servers: StreamServers,
    /// `user:password`, a token, or the text of a file as NATS' `nsc` writes it.
    pub credentials: Option<Secret>,
    /// The HTTP address at which a server tells about itself.
    pub monitor: Option<String>,
}

/// The servers, and the name of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamServers {
    addresses: Vec<ServerAddr>,
    stream: String,
}

impl StreamServers {
    /// Reads `nats://a:4222,b:4222/STREAM`; the port is 4222 and the stream `flowlord` where they are left out.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let (scheme, rest) = text
            .split_once("://")
            .filter(|(scheme, _)| matches!(*scheme, "nats" | "tls"))
            .ok_or("write `place`, or servers as in nats://a:4222,b:4222,c:4222 (tls:// for encrypted connections)")?;
        let (hosts, stream) = rest.split_once('/').unwrap_or((rest, ""));
        let stream = if stream.is_empty() { "flowlord" } else { stream };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if !stream.chars().all(is_plain) {
            return Err(format!("the stream's name {stream:?} may have letters, digits, dashes and underscores only"));
        }
        // Errors show no address: it may hold a password.
        let addresses = hosts.split(',').map(|host| match host.parse::<ServerAddr>() {
            _ if host.contains('@') => Err("write user:password into cluster.credentials".to_owned()),
            _ if host.is_empty() => Err("one of the servers has no name".to_owned()),
            Ok(_) => {
                format!("{scheme}://{host}").parse().map_err(|_| "one of the servers has no valid address".to_owned())
            }
            Err(_) => Err("one of the servers has no valid address".to_owned()),
        });
        Ok(Self { addresses: addresses.collect::<std::result::Result<_, _>>()?, stream: stream.to_owned() })
    }

    fn location(&self) -> String {
        let hosts: Vec<_> =
            self.addresses.iter().map(|server| format!("{}:{}", server.host(), server.port())).collect();
        format!("nats://{}/{}", hosts.join(","), self.stream)
    }
}

impl StreamConfig {
    fn location(&self) -> String {
        self.servers.location()
    }

    /// # Errors
    /// The credentials begin as such a file does, and aren't one.
    pub fn connect_options(&self) -> std::result::Result<ConnectOptions, String> {
        let options = ConnectOptions::new();
        let Some(credentials) = self.credentials.as_ref().map(Secret::expose) else { return Ok(options) };
        if credentials.contains("-----BEGIN NATS") {
            let broken = |err| format!("this isn't a .creds file with the JWT and the seed of a user: {err}");
            // Of secrets in files the end of their last line is cut off, and here it is missed.
            return options.credentials(&format!("{credentials}\n")).map_err(broken);
        }
        Ok(match credentials.split_once(':') {
            Some((user, password)) => options.user_and_password(user.to_owned(), password.to_owned()),
            None => options.token(credentials.to_owned()),
        })
    }
}

/// The stream. Clones share it.
#[derive(Debug, Clone)]
pub struct StreamLog(Arc<SharedStream>);

struct SharedStream {
    config: StreamConfig,
    client: Client,
    context: Context,
    feed: Mutex<Option<EntryFeed>>,
    unanswered: AtomicU32,
}

impl std::fmt::Debug for SharedStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedStream").field("at", &self.config.location()).finish()
    }
}

/// Entries as they come.
struct EntryFeed {
    /// The number of the entry that comes next.
    next: u64,
    messages: Ordered,
}

impl StreamLog {
    /// Connects to one of the servers.
    ///
    /// # Errors
    /// None can be reached, or they are too old.
    pub async fn connect(config: &StreamConfig) -> Result<Self> {
        let options = config
            .connect_options()
            .map_err(Error::Location)?
            .name("flowlord")
            .connection_timeout(REQUEST_TIMEOUT)
            .ping_interval(Duration::from_secs(5))
            // Those that the configuration names, and no others.
            .ignore_discovered_servers()
            .reconnect_delay_callback(|attempts| Duration::from_millis(100 * attempts.min(10) as u64));
        let connected = options.connect(&config.servers.addresses[..]).await;
        let client = connected.map_err(|err| match err.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => refused_user(config),
            _ => unreachable_stream(config, &err),
        })?;
        let version = client.server_info().version;
        if is_too_old(&version) {
            let needed = OLDEST_SERVER.map(|part| part.to_string()).join(".");
            return Err(Error::Location(format!(
                "{}: the NATS server is version {version}, and {needed} or newer is needed",
                config.location()
            )));
        }
        let context = async_nats::jetstream::context::ContextBuilder::new()
            .timeout(REQUEST_TIMEOUT)
            .ack_timeout(REQUEST_TIMEOUT)
            .build(client.clone());
        let (config, feed, unanswered) = (config.clone(), Mutex::new(None), AtomicU32::new(0));
        Ok(Self(Arc::new(SharedStream { config, client, context, feed, unanswered })))
    }

    fn away(&self, err: &dyn std::fmt::Display) -> Error {
        unreachable_stream(&self.0.config, err)
    }

    fn subject(&self, kind: &str) -> String {
        format!("{}.{kind}", self.0.config.servers.stream)
    }

    /// How many bytes of rows an entry can carry.
    pub(crate) fn max_rows(&self) -> usize {
        self.0.client.server_info().max_payload.saturating_sub(MAX_HEAD_BYTES)
    }

    /// A server that is cut off from the others answers pings, and what it knew of the stream: its clients wouldn't leave
    /// it. Only what the stream's servers agreed on counts as an answer.
    async fn note_failure(&self) {
        let failed = self.0.unanswered.fetch_add(1, Ordering::Relaxed) + 1;
        if failed >= MAX_UNANSWERED {
            self.0.unanswered.store(0, Ordering::Relaxed);
            log::warn!("event=nats_server_left server={:?}", self.0.client.server_info().server_name);
            let _closed_at_the_end = self.0.client.force_reconnect().await;
        }
    }

    fn note_answer(&self) {
        self.0.unanswered.store(0, Ordering::Relaxed);
    }

    async fn info(&self) -> Result<Option<Info>> {
        let found = self.0.context.get_stream(&self.0.config.servers.stream).await;
        if found.as_ref().is_err_and(|err| err.kind() == GetStreamErrorKind::Request) {
            self.note_failure().await;
        }
        match found {
            Ok(stream) => Ok(Some(stream.cached_info().clone())),
            Err(err) => match err.kind() {
                GetStreamErrorKind::JetStream(err) if err.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
                GetStreamErrorKind::JetStream(err)
                    if err.error_code() == ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT =>
                {
                    Err(refused_user(&self.0.config))
                }
                _ => Err(self.away(&err)),
            },
        }
    }

    async fn stream(&self) -> Result<Stream<()>> {
        let name = &self.0.config.servers.stream;
        self.0.context.get_stream_no_info(name).await.map_err(|err| self.away(&err))
    }

    pub(crate) async fn tip(&self) -> Result<u64> {
        let tip = self.info().await?.map_or(0, |info| info.state.last_sequence);
        Ok(tip)
    }

    /// Makes the stream, whose first entry has this number, where there is none. Answers the number of the next one.
    pub(crate) async fn create_from(&self, number: u64) -> Result<u64> {
        if let Some(info) = self.info().await? {
            return Ok(info.state.last_sequence + 1);
        }
        match self.create(number, REPLICAS).await {
            // A single server is enough to try it out; a warning says that it isn't safe.
            Err(err) if is_single_server(&err) => {
                self.create(number, 1).await.map_err(|err| self.away(&err))?;
            }
            created => created.map_err(|err| self.away(&err))?,
        }
        self.tip().await.map(|tip| tip + 1)
    }

    async fn create(
        &self,
        number: u64,
        num_replicas: usize,
    ) -> std::result::Result<(), async_nats::jetstream::context::CreateStreamError> {
        let config = Config {
            name: self.0.config.servers.stream.clone(),
            description: Some(
                "The log of a flowlord cluster: flowlord alone writes and removes its messages".to_owned(),
            ),
            subjects: vec![self.subject("*")],
            storage: StorageType::File,
            num_replicas,
            // A full stream refuses; it never drops what somebody was told is stored.
            discard: DiscardPolicy::New,
            // A read of what is stored must ask the stream's leader.
            allow_direct: false,
            deny_delete: true,
            first_sequence: Some(number),
            ..Config::default()
        };
        self.0.context.create_stream(config).await.map(drop)
    }

    /// The number of the last entry that changes the database.
    pub(crate) async fn last_rows(&self) -> Result<Option<u64>> {
        match self.stream().await?.get_last_raw_message_by_subject(&self.subject("rows")).await {
            Ok(message) => Ok(Some(message.sequence)),
            Err(err) => match err.kind() {
                LastRawMessageErrorKind::NoMessageFound => Ok(None),
                _ => Err(self.away(&err)),
            },
        }
    }

    pub(crate) async fn trim(&self, number: u64) -> Result<()> {
        self.stream().await?.purge().sequence(number).await.map(drop).map_err(|err| self.away(&err))
    }

    /// The entries after this number as they come, after some time none.
    pub(crate) async fn entries_after(
        &self,
        after: u64,
        most: usize,
        wait: Duration,
    ) -> Result<VecDeque<FetchedEntry>> {
        let mut feed = self.0.feed.lock().await;
        // Taken out, and put back only once all went well: a feed that failed is opened anew.
        let mut own = match feed.take().filter(|feed| feed.next == after + 1) {
            Some(own) => own,
            None => match self.open_feed(after + 1).await {
                Ok(own) => own,
                Err(err) => return Err(self.explain(after, err).await),
            },
        };
        let mut entries = VecDeque::new();
        let first = tokio::time::timeout(wait, own.messages.next()).await;
        let mut next = first.ok().flatten();
        while let Some(message) = next {
            let message = message.map_err(|err| self.away(&err))?;
            let number = message.info().map_err(|err| self.away(&err))?.stream_sequence;
            let (entry, rows) = self.read_message(number, &message.payload)?;
            own.next = number + 1;
            entries.push_back(FetchedEntry { number, entry, changes: Some(rows) });
            // What has come already, without waiting for more: the first of them should be applied soon.
            next = if entries.len() < most { own.messages.next().now_or_never().flatten() } else { None };
        }
        if entries.is_empty() {
            // Only who has read the end of the log knows that its leader is silent. Else the feed may have ended.
            self.check_end(after).await?;
        } else {
            self.note_answer();
        }
        *feed = Some(own);
        Ok(entries)
    }

    async fn check_end(&self, after: u64) -> Result<()> {
        let tip = self.tip().await?;
        if tip < after {
            return Err(Error::Location(format!(
                "{} ends at entry {tip}, and this node knows {after}: the stream was lost, shortened or made anew. Nothing \
                 is acknowledged; see docs/cluster.md, \"When the stream is lost\"",
                self.0.config.location()
            )));
        }
        if tip > after {
            self.note_failure().await;
            return Err(self.away(&format!("entry {tip} is there and didn't come yet")));
        }
        Ok(())
    }

    /// A stream that isn't what it was says more than the error that came of it.
    async fn explain(&self, known: u64, err: Error) -> Error {
        self.check_end(known).await.err().unwrap_or(err)
    }

    async fn open_feed(&self, next: u64) -> Result<EntryFeed> {
        let config = OrderedConfig {
            deliver_subject: self.0.client.new_inbox(),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: next },
            ..OrderedConfig::default()
        };
        let consumer = self.stream().await?.create_consumer(config).await.map_err(|err| self.away(&err))?;
        let messages = consumer.messages().await.map_err(|err| self.away(&err))?;
        Ok(EntryFeed { next, messages })
    }

    fn read_message(&self, number: u64, payload: &Bytes) -> Result<(LogEntry, Bytes)> {
        let end = payload.iter().position(|byte| *byte == b'\n').unwrap_or(payload.len());
        let entry = serde_json::from_slice(&payload[..end]).map_err(|err| {
            Error::Location(format!(
                "message {number} of {} isn't an entry of a cluster's log ({err}): a newer program may have written it",
                self.0.config.location()
            ))
        })?;
        Ok((entry, payload.slice((end + 1).min(payload.len())..)))
    }

    /// What makes the stream less safe than it could be.
    pub(crate) async fn warnings(&self) -> Result<Vec<String>> {
        let mut warnings = Vec::new();
        let replicas = self.info().await?.map_or(REPLICAS, |info| info.config.num_replicas);
        if replicas < REPLICAS {
            warnings.push(format!(
                "the stream {} is kept by {replicas} server, and lost with its disk: run NATS with three servers",
                self.0.config.servers.stream
            ));
        }
        if let Some(monitor) = &self.0.config.monitor {
            warnings.extend(check_sync(monitor).await);
        }
        Ok(warnings)
    }
}

impl AppendOnce for StreamLog {
    async fn try_append(&self, number: u64, entry: &LogEntry, rows: &Bytes) -> Result<TryOutcome> {
        let mut payload = serde_json::to_vec(entry).unwrap_or_default();
        payload.push(b'\n');
        payload.extend_from_slice(rows);
        let kind = if entry.content.is_transaction() { "rows" } else { "entry" };
        let message = PublishMessage::build()
            .payload(payload.into())
            .expected_last_sequence(number - 1)
            .expected_stream(&self.0.config.servers.stream);
        let sent = self.0.context.send_publish(self.subject(kind), message).await;
        let stored = match sent {
            Ok(sent) => sent.await,
            Err(err) => Err(err),
        };
        match &stored {
            Ok(_) => self.note_answer(),
            // It is an answer, but not one of the stream as it is now: a server that is cut off gives it, too.
            Err(err) if err.kind() == PublishErrorKind::WrongLastSequence => {}
            Err(_) => self.note_failure().await,
        }
        match stored {
            Ok(stored) if stored.sequence == number => Ok(TryOutcome::Stored),
            Ok(stored) => Ok(TryOutcome::Refused(format!("it was stored as entry {}", stored.sequence))),
            Err(err) if err.kind() == PublishErrorKind::WrongLastSequence => {
                self.check_end(number - 1).await?;
                Ok(TryOutcome::Refused(err.to_string()))
            }
            Err(err) => Err(self.away(&err)),
        }
    }

    async fn read_stored(&self, number: u64) -> Result<Option<LogEntry>> {
        match self.stream().await?.get_raw_message(number).await {
            Ok(message) => self.read_message(number, &message.payload).map(|(entry, _)| Some(entry)),
            Err(err) => match err.kind() {
                LastRawMessageErrorKind::NoMessageFound => Ok(None),
                _ => {
                    self.note_failure().await;
                    Err(self.explain(number - 1, self.away(&err)).await)
                }
            },
        }
    }
}

fn unreachable_stream(config: &StreamConfig, err: &dyn std::fmt::Display) -> Error {
    let hint = "check cluster.log, and that a majority of the NATS servers run with room on their disks";
    Error::Unreachable { at: config.location(), problem: err.to_string(), hint }
}

fn refused_user(config: &StreamConfig) -> Error {
    let hint = "check cluster.credentials, and that NATS knows this user and lets it use JetStream";
    Error::Refused { at: config.location(), hint }
}

fn is_single_server(err: &async_nats::jetstream::context::CreateStreamError) -> bool {
    match err.kind() {
        CreateStreamErrorKind::JetStream(err) => {
            matches!(err.error_code(), ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED | ErrorCode::CLUSTER_NO_PEERS)
        }
        _ => false,
    }
}

fn is_too_old(version: &str) -> bool {
    let numbers = version.split(['.', '-']).map_while(|part| part.parse().ok());
    let parts: Vec<u64> = numbers.take(OLDEST_SERVER.len()).collect();
    parts.as_slice() < OLDEST_SERVER.as_slice()
}

/// What `/jsz` tells of how a server writes.
#[derive(Deserialize)]
struct ServerReport {
    config: StoreReport,
}

#[derive(Deserialize)]
struct StoreReport {
    #[serde(default)]
    sync_always: bool,
}

async fn check_sync(monitor: &str) -> Option<String> {
    let asked = async {
        let url = format!("{}/jsz", monitor.trim_end_matches('/'));
        let request = reqwest::Client::new().get(url).timeout(REQUEST_TIMEOUT).send();
        let answer = request.await.map_err(|err| err.without_url().to_string())?;
        answer.json::<ServerReport>().await.map_err(|err| err.without_url().to_string())
    };
    match asked.await {
        Ok(ServerReport { config: StoreReport { sync_always: true } }) => None,
        Ok(_) => Some(
            "the NATS server doesn't write each message to its disk before it acknowledges it: power that fails may lose \
             acknowledged changes. Set sync_interval: always in its jetstream block"
                .to_owned(),
        ),
        Err(err) => Some(format!("cluster.monitor can't be asked whether NATS syncs each message: {err}")),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[actix::test]
    async fn servers_that_are_too_old_or_away_are_refused_with_what_to_do() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let old = tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            let info = r#"INFO {"server_id":"x","server_name":"x","version":"2.9.10","go":"x","host":"x","port":1,"headers":true,"max_payload":1048576,"proto":1}"#;
            client.write_all(format!("{info}\r\n").as_bytes()).await.unwrap();
            let mut sent = vec![0; 4_096];
            while client.read(&mut sent).await.unwrap() > 0 {
                client.write_all(b"PONG\r\n").await.unwrap();
            }
        });
        let refused = |text: String| async move {
            let (servers, credentials) = (StreamServers::parse(&text).unwrap(), Some(Secret::new("me:secret")));
            StreamLog::connect(&StreamConfig { servers, credentials, monitor: None }).await.unwrap_err().to_string()
        };
        let said = refused(format!("nats://{address}")).await;
        assert!(said.contains("version 2.9.10, and 2.10.23 or newer is needed") && !said.contains("secret"), "{said}");
        old.abort();
        let said = refused("nats://127.0.0.1:1".to_owned()).await;
        assert!(said.contains("can't be reached") && said.contains("check cluster.log"), "{said}");
    }

    #[test]
    fn servers_a_port_and_a_stream_are_read() {
        let parsed = |text| StreamServers::parse(text).map(|servers| servers.location());
        assert_eq!(parsed("nats://a,b:5222").unwrap(), "nats://a:4222,b:5222/flowlord");
        assert_eq!(parsed("tls://a/etl-2").unwrap(), "nats://a:4222/etl-2");
        for (wrong, said) in [
            ("http://a", "nats://a:4222,b:4222,c:4222"),
            ("nats://a/x.y", "letters"),
            ("nats://a,", "no name"),
            ("nats://me:secret@a", "cluster.credentials"),
        ] {
            let err = parsed(wrong).unwrap_err();
            assert!(err.contains(said), "{wrong}: {err}");
        }
    }

    #[test]
    fn a_server_that_is_too_old_is_told_by_its_version() {
        for old in ["2.9.25", "2.10.22", "1.4.1", "v?"] {
            assert!(is_too_old(old), "{old}");
        }
        for fit in ["2.10.23", "2.10.23-beta.1", "2.11.0", "3.0.0"] {
            assert!(!is_too_old(fit), "{fit}");
        }
    }
}
