//! Commands and frames, byte by byte.

use std::fmt::Write as _;
use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};

pub(super) const MAGIC: &[u8; 4] = b"  V2";

/// The largest frame that is read; nsqd's own limit for a message is 1 MiB unless it is set otherwise.
const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;

const RESPONSE: i32 = 0;
const ERROR: i32 = 1;
const MESSAGE: i32 = 2;

/// Of a message: its time (8 bytes), how often it was delivered (2), its id (16).
const MESSAGE_HEAD_BYTES: usize = 26;

/// The id that nsqd gave a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct MessageId([u8; 16]);

impl MessageId {
    /// As text; nsqd writes hexadecimal digits.
    pub(in super::super) fn to_text(self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct NsqMessage {
    pub(in super::super) id: MessageId,
    /// How often it was delivered, this time included.
    pub(in super::super) deliveries: u16,
    pub(in super::super) body: Vec<u8>,
}

/// What nsqd sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NsqFrame {
    Response(Vec<u8>),
    Error(String),
    Message(NsqMessage),
}

impl NsqFrame {
    pub(super) fn is_heartbeat(&self) -> bool {
        matches!(self, Self::Response(text) if text == b"_heartbeat_")
    }
}

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NsqCommand {
    Identify(Vec<u8>),
    Subscribe {
        topic: String,
        channel: &'static str,
    },
    /// So many messages may be under way to this client.
    Ready(u32),
    Finish(MessageId),
    Requeue(MessageId, Duration),
    /// No more messages; what is under way may still be answered.
    Close,
    Nop,
}

impl NsqCommand {
    pub(super) fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Identify(features) => {
                out.extend_from_slice(b"IDENTIFY\n");
                write_sized(out, features);
            }
            Self::Subscribe { topic, channel } => write_line(out, format_args!("SUB {topic} {channel}")),
            Self::Ready(count) => write_line(out, format_args!("RDY {count}")),
            Self::Finish(id) => write_line(out, format_args!("FIN {}", id.to_text())),
            Self::Requeue(id, delay) => write_line(out, format_args!("REQ {} {}", id.to_text(), delay.as_millis())),
            Self::Close => out.extend_from_slice(b"CLS\n"),
            Self::Nop => out.extend_from_slice(b"NOP\n"),
        }
    }
}

/// `PUB` without its body, which follows.
pub(super) fn publish_head(topic: &str, body: &[u8]) -> Vec<u8> {
    let mut head = format!("PUB {topic}\n").into_bytes();
    write_length(&mut head, body.len());
    head
}

/// `MPUB`: all of them, or none where nsqd refuses it.
pub(super) fn publish_many(topic: &str, bodies: &[Vec<u8>]) -> Vec<u8> {
    let bytes: usize = bodies.iter().map(|body| 4 + body.len()).sum();
    let mut command = format!("MPUB {topic}\n").into_bytes();
    command.reserve(8 + bytes);
    write_length(&mut command, 4 + bytes);
    write_length(&mut command, bodies.len());
    for body in bodies {
        write_sized(&mut command, body);
    }
    command
}

fn write_line(out: &mut Vec<u8>, line: std::fmt::Arguments<'_>) {
    let mut text = String::new();
    // A String takes all that is written to it.
    let _ = writeln!(text, "{line}");
    out.extend_from_slice(text.as_bytes());
}

fn write_sized(out: &mut Vec<u8>, body: &[u8]) {
    write_length(out, body.len());
    out.extend_from_slice(body);
}

fn write_length(out: &mut Vec<u8>, length: usize) {
    // nsqd refuses what is longer than it allows, which is less than this.
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

/// Reads one frame; what isn't one is an error, after which the connection is of no use.
pub(super) async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<NsqFrame> {
    let length = stream.read_u32().await?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    // Before memory is reserved: bytes of another protocol give any length.
    if !(4..=MAX_FRAME_BYTES).contains(&length) {
        let detail =
            format!("a frame of {length} bytes: is this the TCP port of nsqd, and its max-msg-size below 16 MiB?");
        return Err(io::Error::new(ErrorKind::InvalidData, detail));
    }
    let kind = stream.read_i32().await?;
    let mut data = vec![0; length - 4];
    stream.read_exact(&mut data).await?;
    parse_frame(kind, data)
}

fn parse_frame(kind: i32, data: Vec<u8>) -> io::Result<NsqFrame> {
    match kind {
        RESPONSE => Ok(NsqFrame::Response(data)),
        ERROR => Ok(NsqFrame::Error(String::from_utf8_lossy(&data).into_owned())),
        MESSAGE => parse_message(data).map(NsqFrame::Message),
        _ => Err(io::Error::new(ErrorKind::InvalidData, format!("a frame of the unknown type {kind}"))),
    }
}

pub(super) fn parse_message(mut data: Vec<u8>) -> io::Result<NsqMessage> {
    let short = || io::Error::new(ErrorKind::InvalidData, format!("a message of {} bytes is too short", data.len()));
    let head: &[u8; MESSAGE_HEAD_BYTES] = data.first_chunk().ok_or_else(short)?;
    let deliveries = u16::from_be_bytes([head[8], head[9]]);
    let mut id = [0; 16];
    id.copy_from_slice(&head[10..]);
    data.drain(..MESSAGE_HEAD_BYTES);
    Ok(NsqMessage { id: MessageId(id), deliveries, body: data })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame_bytes(kind: i32, data: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(data.len() + 4).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(data);
        bytes
    }

    fn read_all(mut bytes: &[u8]) -> Vec<io::Result<NsqFrame>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut frames = Vec::new();
            while !bytes.is_empty() {
                let frame = read_frame(&mut bytes).await;
                let failed = frame.is_err();
                frames.push(frame);
                if failed {
                    break;
                }
            }
            frames
        })
    }

    fn message_bytes(deliveries: u16, id: [u8; 16], body: &[u8]) -> Vec<u8> {
        [&7_i64.to_be_bytes()[..], &deliveries.to_be_bytes(), &id, body].concat()
    }

    fn written(command: &NsqCommand) -> Vec<u8> {
        let mut out = Vec::new();
        command.write_to(&mut out);
        out
    }

    #[test]
    fn commands_are_written_as_the_protocol_has_them() {
        let id = MessageId(*b"0123456789abcdef");
        for (command, expected) in [
            (NsqCommand::Identify(b"{}".to_vec()), &b"IDENTIFY\n\0\0\0\x02{}"[..]),
            (NsqCommand::Subscribe { topic: "done".into(), channel: "flowlord" }, b"SUB done flowlord\n"),
            (NsqCommand::Ready(20), b"RDY 20\n"),
            (NsqCommand::Finish(id), b"FIN 0123456789abcdef\n"),
            (NsqCommand::Requeue(id, Duration::from_millis(1500)), b"REQ 0123456789abcdef 1500\n"),
            (NsqCommand::Close, b"CLS\n"),
            (NsqCommand::Nop, b"NOP\n"),
        ] {
            assert_eq!(written(&command), expected, "{command:?}");
        }
        assert_eq!(publish_head("load", b"abc"), b"PUB load\n\0\0\0\x03");
        let many = publish_many("load", &[b"a".to_vec(), b"bc".to_vec()]);
        assert_eq!(many, b"MPUB load\n\0\0\0\x0f\0\0\0\x02\0\0\0\x01a\0\0\0\x02bc");
    }

    #[test]
    fn what_is_no_frame_is_refused_and_says_what_to_check() {
        let refusal = |bytes: &[u8]| read_all(bytes).pop().unwrap().unwrap_err();
        // What an HTTP port answers.
        assert!(refusal(b"HTTP/1.1 400 Bad Request\r\n").to_string().contains("is this the TCP port of nsqd"));
        assert!(refusal(&[0, 0, 0, 3, 0, 0, 0]).to_string().contains("3 bytes"));
        assert!(refusal(&frame_bytes(3, b"x")).to_string().contains("type 3"));
        assert!(refusal(&frame_bytes(MESSAGE, &[0; 25])).to_string().contains("25 bytes is too short"));
        assert_eq!(refusal(&frame_bytes(RESPONSE, b"OK")[..5]).kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn heartbeats_are_told_from_other_answers() {
        assert!(NsqFrame::Response(b"_heartbeat_".to_vec()).is_heartbeat());
        assert!(!NsqFrame::Response(b"OK".to_vec()).is_heartbeat());
        assert!(!NsqFrame::Error("_heartbeat_".to_owned()).is_heartbeat());
    }

    proptest! {
        #[test]
        fn frames_come_back_as_they_were_sent(
            frames in prop::collection::vec((0..3_i32, any::<u16>(), any::<[u8; 16]>(), any::<Vec<u8>>()), 0..8),
        ) {
            let (mut bytes, mut expected) = (Vec::new(), Vec::new());
            for (kind, deliveries, id, body) in frames {
                let data = if kind == MESSAGE { message_bytes(deliveries, id, &body) } else { body.clone() };
                bytes.extend(frame_bytes(kind, &data));
                expected.push(match kind {
                    RESPONSE => NsqFrame::Response(body),
                    ERROR => NsqFrame::Error(String::from_utf8_lossy(&body).into_owned()),
                    _ => NsqFrame::Message(NsqMessage { id: MessageId(id), deliveries, body }),
                });
            }
            let read: Vec<_> = read_all(&bytes).into_iter().map(Result::unwrap).collect();
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn any_bytes_are_frames_or_an_error(bytes in any::<Vec<u8>>()) {
            // No panic, and no buffer larger than a frame may be.
            read_all(&bytes);
        }

        #[test]
        fn many_messages_keep_their_bounds(bodies in prop::collection::vec(any::<Vec<u8>>(), 1..9)) {
            let command = publish_many("t", &bodies);
            let mut rest = &command["MPUB t\n".len()..];
            let mut take = |count: usize| { let (head, tail) = rest.split_at(count); rest = tail; head.to_vec() };
            let length = |bytes: Vec<u8>| u32::from_be_bytes(bytes.try_into().unwrap()) as usize;
            prop_assert_eq!(length(take(4)), command.len() - "MPUB t\n".len() - 4);
            prop_assert_eq!(length(take(4)), bodies.len());
            for body in &bodies {
                let bytes = length(take(4));
                prop_assert_eq!(&take(bytes), body);
            }
            prop_assert!(rest.is_empty());
        }
    }
}
