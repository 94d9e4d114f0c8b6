//! The messages of a topic: from every nsqd that has it into one bounded queue, taken in batches.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Bridge;
use super::nsq::consumer::{FlowState, MessageFlow, ReceivedMessage, WINDOW_MESSAGES, consume};
use super::nsq::lookup::LookupClient;
use super::summary::add;
use crate::commands::work::backoff::Backoff;
use crate::commands::work::client::ApiRefusal;

/// How often nsqlookupd is asked; with jitter, so that bridges don't ask all at once.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(10);

/// How long a batch waits for more messages after the first.
const LINGER: Duration = Duration::from_millis(5);

/// A batch that has as many bytes is complete; a request may have 8 MiB.
const BATCH_BYTES: usize = 2 * 1024 * 1024;

/// Failures in a row after which an nsqd is forgotten until nsqlookupd names it again.
const MAX_FAILURES: u32 = 5;

/// So much of a rejected message is in the log.
const MAX_LOGGED_CHARACTERS: usize = 2_000;

/// How long connections have to end in order.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

struct MessageSource {
    bridge: Rc<Bridge>,
    topic: String,
    channel: &'static str,
    flow: Rc<watch::Sender<MessageFlow>>,
    messages: mpsc::Sender<ReceivedMessage>,
}

/// The messages that came, and how fast others may come.
pub(super) struct MessageQueue {
    topic: String,
    messages: mpsc::Receiver<ReceivedMessage>,
    flow: Rc<watch::Sender<MessageFlow>>,
    backoff: Backoff,
    stop: watch::Receiver<bool>,
}

/// A queue, and what fills it until the bridge stops.
pub(super) fn open_queue(
    bridge: &Rc<Bridge>,
    topic: &str,
    channel: &'static str,
) -> anyhow::Result<(MessageQueue, impl Future<Output = anyhow::Result<()>> + use<>)> {
    let lookup = match bridge.config.lookupd.as_slice() {
        [] => None,
        addresses => Some(LookupClient::new(addresses)?),
    };
    // Twice the window, since windows of connections overlap for a moment when their number changes.
    let (messages, taken) = mpsc::channel(2 * WINDOW_MESSAGES as usize);
    // One message at first: it shows whether the service takes any.
    let flow = Rc::new(watch::Sender::new(MessageFlow { state: FlowState::Probing, connections: 0 }));
    let queue = MessageQueue {
        topic: topic.to_owned(),
        messages: taken,
        flow: Rc::clone(&flow),
        backoff: Backoff::new(),
        stop: bridge.stop.clone(),
    };
    let source = MessageSource { bridge: Rc::clone(bridge), topic: topic.to_owned(), channel, flow, messages };
    Ok((queue, keep_connected(Rc::new(source), lookup)))
}

/// Keeps a connection to each nsqd, until the bridge stops and the connections ended in order.
async fn keep_connected(source: Rc<MessageSource>, lookup: Option<LookupClient>) -> anyhow::Result<()> {
    let mut stop = source.bridge.stop.clone();
    let (mut known, mut running) = (HashSet::new(), JoinSet::new());
    let mut backoff = Backoff::new();
    while !*stop.borrow() {
        for address in source.find_nsqds(lookup.as_ref()).await {
            if known.insert(address.clone()) {
                running.spawn_local(keep_consuming(Rc::clone(&source), address, lookup.is_some()));
            }
        }
        // Nothing can come without an nsqd, so the first one is searched for sooner.
        let wait = if known.is_empty() {
            backoff.wait(None)
        } else {
            backoff = Backoff::new();
            LOOKUP_INTERVAL.mul_f64(rand::random_range(0.75..=1.25))
        };
        tokio::select! {
            _ = stop.wait_for(|is_stopping| *is_stopping) => {}
            // It is connected to again when nsqlookupd names it.
            Some(Ok(forgotten)) = running.join_next() => { known.remove(&forgotten); }
            () = sleep(wait) => {}
        }
    }
    // nsqd then sends nothing more, but still takes answers.
    source.flow.send_modify(|flow| flow.state = FlowState::Closing);
    if timeout(STOP_PATIENCE, running.join_all()).await.is_err() {
        log::warn!("event=nsqd_keeps_open topic={:?} detail=\"what wasn't answered comes again\"", source.topic);
    }
    Ok(())
}

impl MessageSource {
    async fn find_nsqds(&self, lookup: Option<&LookupClient>) -> Vec<String> {
        let Some(lookup) = lookup else { return self.bridge.config.nsqd.clone() };
        lookup.find_nsqds(&self.topic).await.unwrap_or_else(|err| {
            log::warn!("event=lookup_failed topic={:?} detail={:?}", self.topic, format!("{err:#}"));
            Vec::new()
        })
    }

    fn change_connections(&self, by: i32) {
        self.flow.send_modify(|flow| flow.connections = flow.connections.saturating_add_signed(by));
    }
}

/// Consumes from one nsqd, again and again; ends with its address when it is forgotten, or the bridge stops.
async fn keep_consuming(source: Rc<MessageSource>, address: String, is_looked_up: bool) -> String {
    let mut stop = source.bridge.stop.clone();
    let (mut backoff, mut failures) = (Backoff::new(), 0);
    while !*stop.borrow() {
        let mut is_subscribed = false;
        let names = (source.topic.as_str(), source.channel);
        let ended = consume(&address, names, source.flow.subscribe(), source.messages.clone(), || {
            is_subscribed = true;
            source.change_connections(1);
            log::info!("event=subscribed topic={:?} nsqd={address}", source.topic);
        });
        let ended = ended.await;
        if is_subscribed {
            source.change_connections(-1);
            (backoff, failures) = (Backoff::new(), 0);
        }
        let Err(err) = ended else { break };
        failures += 1;
        let wait = backoff.wait(None);
        log::warn!(
            "event=nsqd_away topic={:?} nsqd={address} retry_in={wait:?} detail={:?}",
            source.topic,
            err.to_string()
        );
        // A configured nsqd is tried for ever: no lookup would bring it back.
        if is_looked_up && failures >= MAX_FAILURES {
            break;
        }
        tokio::select! {
            _ = stop.wait_for(|is_stopping| *is_stopping) => {}
            () = sleep(wait) => {}
        }
    }
    address
}

impl MessageQueue {
    /// The next messages; none when the bridge stops and all are answered.
    pub(super) async fn next_batch(&mut self, max: usize) -> Option<Vec<ReceivedMessage>> {
        let first = self.messages.recv().await?;
        let deadline = Instant::now() + LINGER;
        let mut bytes = first.message.body.len();
        let mut batch = vec![first];
        while batch.len() < max && bytes < BATCH_BYTES {
            let Ok(Some(next)) = timeout_at(deadline, self.messages.recv()).await else { break };
            bytes += next.message.body.len();
            batch.push(next);
        }
        Some(batch)
    }

    /// Takes as many messages as there may be: the service took the last ones.
    pub(super) fn speed_up(&mut self) {
        self.backoff = Backoff::new();
        self.set_state(FlowState::Open);
    }

    /// Gives all messages back to nsqd, and takes none for a while: the service can't take them now.
    pub(super) async fn postpone(&mut self, bridge: &Bridge, batch: Vec<ReceivedMessage>, refusal: &ApiRefusal) {
        let asked = if let ApiRefusal::Later { after, .. } = refusal { *after } else { None };
        let wait = self.backoff.wait(asked);
        // First, so that nsqd sends nothing new while these go back.
        self.set_state(FlowState::Paused);
        let mut count = batch.len();
        for message in batch {
            message.requeue(wait).await;
        }
        // Those that wait go back, too: another bridge may be able to post them.
        while let Ok(message) = self.messages.try_recv() {
            message.requeue(wait).await;
            count += 1;
        }
        add(&bridge.counts.requeued, count);
        let topic = &self.topic;
        log::warn!(
            "event=messages_wait topic={topic:?} messages={count} retry_in={wait:?} detail={:?}",
            refusal.to_string()
        );
        tokio::select! {
            _ = self.stop.wait_for(|is_stopping| *is_stopping) => {}
            () = sleep(wait) => {}
        }
        self.set_state(FlowState::Probing);
    }

    fn set_state(&self, state: FlowState) {
        self.flow.send_if_modified(|flow| {
            // Closing is final: a late answer of the service must not open the flow again.
            let is_changed = flow.state != state && flow.state != FlowState::Closing;
            if is_changed {
                flow.state = state;
            }
            is_changed
        });
    }
}

/// Finishes a message that the service will never take: it would else come again for ever. The log has it.
pub(super) async fn reject(bridge: &Bridge, message: ReceivedMessage, topic: &str, detail: &str) {
    add(&bridge.counts.rejected, 1);
    let body = String::from_utf8_lossy(&message.message.body);
    let body: String = body.chars().take(MAX_LOGGED_CHARACTERS).collect();
    log::error!(
        "event=message_rejected topic={topic:?} message={} deliveries={} detail={detail:?} body={body:?}",
        message.message.id.to_text(),
        message.message.deliveries
    );
    message.finish().await;
}
