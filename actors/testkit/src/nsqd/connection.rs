//! One client: its commands, its messages, its heartbeats.

use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{interval, sleep};

use super::state::MessageId;
use super::{NsqdFault, NsqdStep, Shared};

const HEARTBEAT: Duration = Duration::from_millis(300);
/// How often time is looked at.
const TICK: Duration = Duration::from_millis(5);
const MAX_RDY_COUNT: u64 = 2_500;

/// A command as it came.
#[derive(Debug)]
enum ClientCommand {
    Identify(Value),
    Subscribe(String, String),
    Ready(u64),
    Finish(MessageId),
    Requeue(MessageId, Duration),
    Publish(String, Vec<Vec<u8>>),
    Close,
    Nop,
    /// Something that nsqd answers with this error, and hangs up.
    Wrong(&'static str),
}

/// What the loop of a connection does next; `Err` hangs up.
type Next = Result<(), ()>;

struct Connection {
    shared: Arc<Shared>,
    number: u64,
    writer: OwnedWriteHalf,
    topic: Option<String>,
    ready: u64,
    has_heartbeats: bool,
    is_closing: bool,
}

pub(super) async fn accept_all(listener: StdListener, shared: Arc<Shared>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let mut number = 0;
    while let Ok((stream, _)) = listener.accept().await {
        number += 1;
        if !shared.with(|state| state.is_down) {
            tokio::spawn(serve(stream, Arc::clone(&shared), number));
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>, number: u64) {
    let _small_answers_are_slower = stream.set_nodelay(true);
    let (reader, writer) = stream.into_split();
    let (send, mut commands) = mpsc::channel(64);
    let reading = tokio::spawn(read_commands(BufReader::new(reader), Arc::clone(&shared), send));
    let mut connection = Connection {
        shared: Arc::clone(&shared),
        number,
        writer,
        topic: None,
        ready: 0,
        has_heartbeats: false,
        is_closing: false,
    };
    let _hung_up = connection.run(&mut commands).await;
    reading.abort();
    shared.change(|state| state.end_connection(number));
}

impl Connection {
    async fn run(&mut self, commands: &mut mpsc::Receiver<ClientCommand>) -> Next {
        let mut ticks = interval(TICK);
        let (mut heard_at, mut beat_at) = (Instant::now(), Instant::now() + HEARTBEAT);
        let shared = Arc::clone(&self.shared);
        loop {
            tokio::select! {
                command = commands.recv() => {
                    heard_at = Instant::now();
                    self.obey(command.ok_or(())?).await?;
                }
                () = shared.changed.notified() => {}
                _ = ticks.tick() => shared.with(super::state::NsqdState::pass_time),
            }
            if shared.with(|state| state.is_down) {
                return Err(());
            }
            while shared.with(|state| state.is_frozen) {
                sleep(TICK).await;
            }
            self.send_messages().await?;
            if self.has_heartbeats && Instant::now() >= beat_at {
                beat_at = Instant::now() + HEARTBEAT;
                self.send(0, b"_heartbeat_").await?;
            }
            // As patient as a test on a busy machine must be: a client that never answers is found all the same.
            if self.has_heartbeats && heard_at.elapsed() > 20 * HEARTBEAT {
                shared.with(|state| state.counts.silent += 1);
                return Err(());
            }
        }
    }

    async fn obey(&mut self, command: ClientCommand) -> Next {
        match command {
            ClientCommand::Identify(features) => {
                self.has_heartbeats = features["heartbeat_interval"].as_i64().is_none_or(|millis| millis > 0);
                let answer = json!({"max_rdy_count": MAX_RDY_COUNT, "version": "1.3.0", "auth_required": false});
                self.send(0, answer.to_string().as_bytes()).await
            }
            ClientCommand::Subscribe(topic, channel) => {
                if !self.has_heartbeats {
                    return self.refuse("E_INVALID cannot SUB with heartbeats disabled").await;
                }
                self.shared.with(|state| state.channels.insert(format!("{topic}/{channel}")));
                self.topic = Some(topic);
                self.send(0, b"OK").await
            }
            ClientCommand::Ready(count) if count > MAX_RDY_COUNT || self.topic.is_none() => {
                self.refuse("E_INVALID RDY").await
            }
            ClientCommand::Ready(count) => {
                self.ready = count;
                Ok(())
            }
            ClientCommand::Finish(id) => self.finish(&id).await,
            ClientCommand::Requeue(id, delay) => {
                let found = self.shared.with(|state| state.requeue(self.number, &id, delay));
                if found { Ok(()) } else { self.send(1, b"E_REQ_FAILED REQ failed ID not in flight").await }
            }
            ClientCommand::Publish(topic, bodies) => self.publish(&topic, bodies).await,
            ClientCommand::Close => {
                self.is_closing = true;
                self.send(0, b"CLOSE_WAIT").await
            }
            ClientCommand::Nop => Ok(()),
            ClientCommand::Wrong(error) => self.refuse(error).await,
        }
    }

    async fn publish(&mut self, topic: &str, bodies: Vec<Vec<u8>>) -> Next {
        self.reach(NsqdStep::PublishArrived).await?;
        let delay = self.shared.with(|state| state.publish_delay);
        if !delay.is_zero() {
            sleep(delay).await;
        }
        self.shared.change(|state| {
            state.counts.published += bodies.len() as u64;
            bodies.into_iter().for_each(|body| state.store(topic, body));
        });
        self.reach(NsqdStep::PublishStored).await?;
        self.send(0, b"OK").await?;
        self.reach(NsqdStep::PublishAnswered).await
    }

    async fn finish(&mut self, id: &MessageId) -> Next {
        self.reach(NsqdStep::FinishArrived).await?;
        let found = self.shared.with(|state| state.finish(self.number, id));
        if found { Ok(()) } else { self.send(1, b"E_FIN_FAILED FIN failed ID not in flight").await }
    }

    async fn send_messages(&mut self) -> Next {
        let Some(topic) = self.topic.clone().filter(|_| !self.is_closing) else { return Ok(()) };
        let mut frames = Vec::new();
        self.shared.with(|state| {
            let in_hand = state.in_hand(self.number) as u64;
            for _ in in_hand..self.ready {
                let Some(message) = state.send_next(self.number, &topic) else { break };
                let head = [&0_i64.to_be_bytes()[..], &message.deliveries.to_be_bytes(), &message.id].concat();
                write_frame(&mut frames, 2, &[head, message.body].concat());
            }
        });
        if frames.is_empty() {
            return Ok(());
        }
        self.writer.write_all(&frames).await.map_err(drop)?;
        self.reach(NsqdStep::MessageSent).await
    }

    /// Does what a test wants at a step.
    async fn reach(&mut self, step: NsqdStep) -> Next {
        match self.shared.with(|state| state.reach(step)) {
            None => Ok(()),
            Some(NsqdFault::Cut) => Err(()),
            Some(NsqdFault::Freeze) => {
                while self.shared.with(|state| state.is_frozen) {
                    sleep(TICK).await;
                }
                Err(())
            }
        }
    }

    async fn refuse(&mut self, error: &str) -> Next {
        self.send(1, error.as_bytes()).await?;
        Err(())
    }

    async fn send(&mut self, kind: i32, data: &[u8]) -> Next {
        let mut frame = Vec::new();
        write_frame(&mut frame, kind, data);
        self.writer.write_all(&frame).await.map_err(drop)
    }
}

fn write_frame(out: &mut Vec<u8>, kind: i32, data: &[u8]) {
    out.extend_from_slice(&u32::try_from(data.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(data);
}

/// Reads commands until the client ends, or does something wrong.
async fn read_commands(
    mut reader: BufReader<OwnedReadHalf>,
    shared: Arc<Shared>,
    commands: mpsc::Sender<ClientCommand>,
) -> std::io::Result<()> {
    let mut magic = [0; 4];
    reader.read_exact(&mut magic).await?;
    let max_bytes = shared.with(|state| state.max_message_bytes);
    let mut line = String::new();
    while &magic == b"  V2" && reader.read_line(&mut line).await? > 0 {
        let command = read_command(&mut reader, line.trim_end(), max_bytes).await?;
        let is_wrong = matches!(command, ClientCommand::Wrong(_));
        if commands.send(command).await.is_err() || is_wrong {
            break;
        }
        line.clear();
    }
    // What wasn't read stays unread, as with nsqd.
    Ok(())
}

async fn read_command(
    reader: &mut BufReader<OwnedReadHalf>,
    line: &str,
    max_bytes: usize,
) -> std::io::Result<ClientCommand> {
    let words: Vec<&str> = line.split(' ').collect();
    Ok(match words.as_slice() {
        ["IDENTIFY"] => {
            let body = read_sized(reader, usize::MAX).await?.unwrap_or_default();
            ClientCommand::Identify(serde_json::from_slice(&body).unwrap_or_default())
        }
        ["SUB", topic, channel] => ClientCommand::Subscribe((*topic).to_owned(), (*channel).to_owned()),
        ["RDY", count] => ClientCommand::Ready(count.parse().unwrap_or(u64::MAX)),
        ["FIN", id] => message_id(id).map_or(ClientCommand::Wrong("E_INVALID FIN"), ClientCommand::Finish),
        ["REQ", id, millis] => match (message_id(id), millis.parse()) {
            (Some(id), Ok(millis)) => ClientCommand::Requeue(id, Duration::from_millis(millis)),
            _ => ClientCommand::Wrong("E_INVALID REQ"),
        },
        ["PUB", topic] => match read_sized(reader, max_bytes).await? {
            Some(body) => ClientCommand::Publish((*topic).to_owned(), vec![body]),
            None => ClientCommand::Wrong("E_BAD_MESSAGE PUB message too big"),
        },
        ["MPUB", topic] => match read_many(reader, max_bytes).await? {
            Some(bodies) => ClientCommand::Publish((*topic).to_owned(), bodies),
            None => ClientCommand::Wrong("E_BAD_MESSAGE MPUB message too big"),
        },
        ["CLS"] => ClientCommand::Close,
        ["NOP"] => ClientCommand::Nop,
        _ => ClientCommand::Wrong("E_INVALID invalid command"),
    })
}

fn message_id(text: &str) -> Option<MessageId> {
    text.as_bytes().try_into().ok()
}

async fn read_many(reader: &mut BufReader<OwnedReadHalf>, max_bytes: usize) -> std::io::Result<Option<Vec<Vec<u8>>>> {
    let _all_bytes = reader.read_u32().await?;
    let count = reader.read_u32().await?;
    let mut bodies = Vec::new();
    for _ in 0..count {
        match read_sized(reader, max_bytes).await? {
            Some(body) => bodies.push(body),
            None => return Ok(None),
        }
    }
    Ok(Some(bodies))
}

/// A body and its length before it; none when it is too long.
async fn read_sized(reader: &mut BufReader<OwnedReadHalf>, max_bytes: usize) -> std::io::Result<Option<Vec<u8>>> {
    let length = usize::try_from(reader.read_u32().await?).unwrap_or(usize::MAX);
    if length == 0 || length > max_bytes {
        return Ok(None);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await?;
    Ok(Some(body))
}
