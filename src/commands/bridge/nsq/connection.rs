//! A connection to nsqd, until both sides know each other.

use std::io::{self, ErrorKind};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::wire::{MAGIC, NsqCommand, NsqFrame, read_frame};
use crate::commands::work::host_name;

/// How long a connection, or one answer, may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

pub(super) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(30);

/// How long nsqd may keep a message for more to come with it; the least that it allows. By itself it takes ten times as
/// much, by which every chain of tasks would be slower.
const OUTPUT_BUFFER_MILLIS: u32 = 25;

/// What nsqd says about itself; of an old one that says nothing, what it allows at least.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct NsqdFeatures {
    pub(super) max_rdy_count: u32,
    auth_required: bool,
}

impl Default for NsqdFeatures {
    fn default() -> Self {
        // nsqd allows this many unless it is set otherwise.
        Self { max_rdy_count: 2_500, auth_required: false }
    }
}

#[derive(Debug)]
pub(super) struct NsqConnection {
    pub(super) reader: BufReader<OwnedReadHalf>,
    pub(super) writer: OwnedWriteHalf,
    pub(super) features: NsqdFeatures,
}

impl NsqConnection {
    /// Connects; without an interval nsqd sends no heartbeats.
    pub(super) async fn open(address: &str, heartbeat_interval: Option<Duration>) -> io::Result<Self> {
        within(PATIENCE, Self::connect(address, heartbeat_interval)).await
    }

    async fn connect(address: &str, heartbeat_interval: Option<Duration>) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        // A small command would else wait for the answer to the one before.
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let reader = BufReader::with_capacity(64 * 1024, reader);
        let mut connection = Self { reader, writer, features: NsqdFeatures::default() };
        let mut hello = MAGIC.to_vec();
        NsqCommand::Identify(identity(heartbeat_interval)).write_to(&mut hello);
        let answer = connection.request(&hello).await?;
        connection.features = read_features(&answer)?;
        Ok(connection)
    }

    /// Sends bytes and waits for the answer to them.
    pub(super) async fn request(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        self.writer.write_all(command).await?;
        self.read_answer().await
    }

    pub(super) async fn read_answer(&mut self) -> io::Result<Vec<u8>> {
        match read_frame(&mut self.reader).await? {
            NsqFrame::Response(answer) => Ok(answer),
            NsqFrame::Error(refusal) => Err(refusal_error(refusal)),
            // Nothing is subscribed at that point, so the other side breaks the protocol.
            NsqFrame::Message(_) => Err(io::Error::new(ErrorKind::InvalidData, "a message instead of an answer")),
        }
    }
}

/// An error that nsqd answered, as `E_BAD_TOPIC …`; others have another kind.
pub(super) fn refusal_error(refusal: String) -> io::Error {
    io::Error::other(refusal)
}

/// What takes longer than this ends with an error.
pub(super) async fn within<T>(time: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(time, work).await.unwrap_or_else(|_| Err(io::Error::new(ErrorKind::TimedOut, "no answer in time")))
}

fn identity(heartbeat_interval: Option<Duration>) -> Vec<u8> {
    // nsqd takes -1 as no heartbeats.
    let heartbeat_millis = heartbeat_interval.map_or(-1, |every| i64::try_from(every.as_millis()).unwrap_or(i64::MAX));
    let identity = json!({
        "client_id": format!("flowlord-{}", std::process::id()),
        "hostname": host_name(),
        "user_agent": concat!("flowlord/", env!("CARGO_PKG_VERSION")),
        "feature_negotiation": true,
        "heartbeat_interval": heartbeat_millis,
        "output_buffer_timeout": OUTPUT_BUFFER_MILLIS,
    });
    identity.to_string().into_bytes()
}

fn read_features(answer: &[u8]) -> io::Result<NsqdFeatures> {
    // An old nsqd ignores `feature_negotiation`.
    if answer == b"OK" {
        return Ok(NsqdFeatures::default());
    }
    let features: NsqdFeatures = serde_json::from_slice(answer)?;
    if features.auth_required {
        return Err(refusal_error("nsqd requires AUTH, which the bridge doesn't speak: let it in without".to_owned()));
    }
    Ok(features)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_turns_heartbeats_off_where_there_is_no_interval() {
        let interval = |every| {
            let identity: serde_json::Value = serde_json::from_slice(&identity(every)).unwrap();
            assert_eq!(identity["feature_negotiation"], true);
            identity["heartbeat_interval"].as_i64().unwrap()
        };
        assert_eq!((interval(None), interval(Some(HEARTBEAT_INTERVAL))), (-1, 30_000));
    }

    #[test]
    fn features_are_read_where_nsqd_names_them() {
        let features = |answer: &[u8]| read_features(answer).map(|features| features.max_rdy_count);
        assert_eq!(features(b"OK").unwrap(), 2_500);
        assert_eq!(features(br#"{"max_rdy_count":10,"version":"1.3.0","msg_timeout":60000}"#).unwrap(), 10);
        assert!(features(br#"{"auth_required":true}"#).unwrap_err().to_string().contains("AUTH"));
        assert!(features(b"nonsense").is_err());
    }
}
