//! Consuming: one subscribed connection. Messages go into a bounded queue, answers come back to the connection.

use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

use super::connection::{HEARTBEAT_INTERVAL, NsqConnection, PATIENCE, refusal_error, within};
use super::wire::{NsqCommand, NsqFrame, NsqMessage, read_frame};

/// nsqd sends at least a heartbeat; of one that is silent for longer, nothing more comes.
const MOST_SILENCE: Duration = Duration::from_secs(75);

/// Answers that wait to be sent; the sender waits where there are more.
const MAX_WAITING_COMMANDS: usize = 1_024;

/// When a message comes again for which there was no room.
const NO_ROOM_DELAY: Duration = Duration::from_secs(1);

/// How many messages of a topic may be in hand, over all of its connections.
pub(in super::super) const WINDOW_MESSAGES: u32 = 400;

/// How fast messages are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum FlowState {
    /// None: the service can't take them now.
    Paused,
    /// One by one: nobody knows yet whether the service takes them.
    Probing,
    Open,
    /// Never again; what is in hand is answered.
    Closing,
}

/// The flow of a topic, and over how many connections it is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct MessageFlow {
    pub(in super::super) state: FlowState,
    pub(in super::super) connections: u32,
}

impl MessageFlow {
    /// What a connection tells nsqd.
    fn to_command(self, max_rdy_count: u32) -> NsqCommand {
        match self.state {
            FlowState::Paused => NsqCommand::Ready(0),
            FlowState::Probing => NsqCommand::Ready(1),
            // At least one, or an nsqd among very many would never send its messages.
            FlowState::Open => NsqCommand::Ready((WINDOW_MESSAGES / self.connections.max(1)).clamp(1, max_rdy_count)),
            FlowState::Closing => NsqCommand::Close,
        }
    }
}

/// A message that waits for its answer. Without one, nsqd sends it again.
#[derive(Debug)]
pub(in super::super) struct ReceivedMessage {
    pub(in super::super) message: NsqMessage,
    commands: mpsc::Sender<NsqCommand>,
}

impl ReceivedMessage {
    pub(in super::super) async fn finish(self) {
        self.answer(NsqCommand::Finish(self.message.id)).await;
    }

    pub(in super::super) async fn requeue(self, delay: Duration) {
        self.answer(NsqCommand::Requeue(self.message.id, delay)).await;
    }

    async fn answer(&self, command: NsqCommand) {
        // A connection that is gone took its messages with it: nsqd sends them again.
        let _ = self.commands.send(command).await;
    }
}

/// Consumes until nsqd or the network ends the connection, which is an error, or until the flow is closing and all
/// messages are answered. `subscribed` is called once messages can come.
pub(in super::super) async fn consume(
    address: &str,
    (topic, channel): (&str, &'static str),
    mut flow: watch::Receiver<MessageFlow>,
    messages: mpsc::Sender<ReceivedMessage>,
    subscribed: impl FnOnce(),
) -> io::Result<()> {
    let mut connection = NsqConnection::open(address, Some(HEARTBEAT_INTERVAL)).await?;
    let mut subscribe = Vec::new();
    NsqCommand::Subscribe { topic: topic.to_owned(), channel }.write_to(&mut subscribe);
    within(PATIENCE, connection.request(&subscribe)).await?;
    // Only now does the connection count: the window is divided among those that can bring messages.
    subscribed();
    let NsqConnection { reader, writer, features } = connection;
    let (commands, waiting) = mpsc::channel(MAX_WAITING_COMMANDS);
    // The writer is to send the present state at once, not only the next change.
    flow.mark_changed();
    let mut write = std::pin::pin!(write_commands(writer, waiting, flow, features.max_rdy_count));
    tokio::select! {
        closed = read_messages(reader, commands, messages) => closed?,
        ended = &mut write => return ended,
    }
    // Until the last message in hand is answered.
    write.await
}

/// Reads until nsqd says that nothing more comes.
async fn read_messages(
    mut reader: BufReader<OwnedReadHalf>,
    commands: mpsc::Sender<NsqCommand>,
    messages: mpsc::Sender<ReceivedMessage>,
) -> io::Result<()> {
    loop {
        let command = match within(MOST_SILENCE, read_frame(&mut reader)).await? {
            NsqFrame::Message(message) => match hand_over(message, &commands, &messages)? {
                Some(command) => command,
                None => continue,
            },
            // nsqd closes a connection that doesn't answer heartbeats.
            frame if frame.is_heartbeat() => NsqCommand::Nop,
            NsqFrame::Response(text) if text == b"CLOSE_WAIT" => return Ok(()),
            // A message that was answered too late: it comes again.
            NsqFrame::Error(text) if ["E_FIN_FAILED", "E_REQ_FAILED"].iter().any(|code| text.starts_with(code)) => {
                log::debug!("event=answer_too_late detail={text:?}");
                continue;
            }
            NsqFrame::Error(text) => return Err(refusal_error(text)),
            NsqFrame::Response(_) => continue,
        };
        if commands.send(command).await.is_err() {
            return Err(ErrorKind::BrokenPipe.into());
        }
    }
}

/// Puts a message into the queue; where it is full, the message goes back. Waiting for room would hold up heartbeats.
fn hand_over(
    message: NsqMessage,
    commands: &mpsc::Sender<NsqCommand>,
    messages: &mpsc::Sender<ReceivedMessage>,
) -> io::Result<Option<NsqCommand>> {
    match messages.try_send(ReceivedMessage { message, commands: commands.clone() }) {
        Ok(()) => Ok(None),
        Err(TrySendError::Full(refused)) => Ok(Some(NsqCommand::Requeue(refused.message.id, NO_ROOM_DELAY))),
        Err(TrySendError::Closed(_)) => Err(ErrorKind::BrokenPipe.into()),
    }
}

/// Sends commands, many in one piece where many wait, and what the flow says whenever it changes. Ends when nobody can
/// send a command any more.
async fn write_commands(
    mut writer: OwnedWriteHalf,
    mut waiting: mpsc::Receiver<NsqCommand>,
    mut flow: watch::Receiver<MessageFlow>,
    max_rdy_count: u32,
) -> io::Result<()> {
    let (mut bytes, mut many) = (Vec::new(), Vec::new());
    // nsqd begins with 0 by itself, so this need not be sent.
    let mut told = NsqCommand::Ready(0);
    loop {
        tokio::select! {
            count = waiting.recv_many(&mut many, MAX_WAITING_COMMANDS) => {
                if count == 0 {
                    return Ok(());
                }
                many.drain(..).for_each(|command| command.write_to(&mut bytes));
            }
            changed = flow.changed(), if told != NsqCommand::Close => {
                changed.map_err(|_| io::Error::from(ErrorKind::BrokenPipe))?;
                let command = flow.borrow_and_update().to_command(max_rdy_count);
                if command != told {
                    command.write_to(&mut bytes);
                    told = command;
                }
            }
        }
        within(PATIENCE, writer.write_all(&bytes)).await?;
        bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: u8) -> NsqMessage {
        let data = [&[0; 10][..], &[id; 16], b"body"].concat();
        super::super::wire::parse_message(data).unwrap()
    }

    #[test]
    fn a_message_without_room_goes_back_and_its_connection_goes_on() {
        let (commands, mut sent) = mpsc::channel(1);
        let (messages, mut queue) = mpsc::channel(1);
        assert_eq!(hand_over(message(1), &commands, &messages).unwrap(), None);
        let refused = message(2);
        let requeued = NsqCommand::Requeue(refused.id, NO_ROOM_DELAY);
        assert_eq!(hand_over(refused, &commands, &messages).unwrap(), Some(requeued));
        let taken = queue.try_recv().unwrap();
        let id = taken.message.id;
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(taken.finish());
        assert_eq!(sent.try_recv().unwrap(), NsqCommand::Finish(id));
        drop(queue);
        assert!(hand_over(message(3), &commands, &messages).is_err(), "nobody takes messages any more");
    }

    #[test]
    fn the_window_is_divided_and_never_more_than_nsqd_allows() {
        let ready = |state, connections, max| MessageFlow { state, connections }.to_command(max);
        for (state, connections, max, expected) in [
            (FlowState::Paused, 1, 2_500, 0),
            (FlowState::Probing, 1, 2_500, 1),
            (FlowState::Open, 0, 2_500, WINDOW_MESSAGES),
            (FlowState::Open, 2, 2_500, WINDOW_MESSAGES / 2),
            (FlowState::Open, 2, 10, 10),
            (FlowState::Open, 1_000, 2_500, 1),
        ] {
            assert_eq!(ready(state, connections, max), NsqCommand::Ready(expected), "{state:?} {connections} {max}");
        }
        assert_eq!(ready(FlowState::Closing, 1, 2_500), NsqCommand::Close);
    }
}
