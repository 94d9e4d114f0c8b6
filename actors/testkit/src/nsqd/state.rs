//! Topics and what is under way, without any connection.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::{NsqdFault, NsqdStep};

/// What a fake nsqd did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NsqdCounts {
    /// Messages that came by PUB and MPUB.
    pub published: u64,
    /// Messages that were sent, each time.
    pub delivered: u64,
    /// Messages that were answered by FIN.
    pub finished: u64,
    /// Messages that were answered by REQ.
    pub requeued: u64,
    /// Messages that were sent again, since nobody answered.
    pub timed_out: u64,
    /// Connections that answered no heartbeat.
    pub silent: u64,
}

pub(super) type MessageId = [u8; 16];

#[derive(Debug, Clone)]
pub(super) struct StoredMessage {
    pub(super) id: MessageId,
    pub(super) deliveries: u16,
    pub(super) body: Vec<u8>,
    ready_at: Instant,
}

#[derive(Debug)]
struct SentMessage {
    connection: u64,
    topic: String,
    expires_at: Instant,
    message: StoredMessage,
}

#[derive(Debug)]
pub(super) struct NsqdState {
    topics: BTreeMap<String, VecDeque<StoredMessage>>,
    /// Requeued with a delay.
    delayed: Vec<(String, StoredMessage)>,
    sent: HashMap<MessageId, SentMessage>,
    next_id: u64,
    pub(super) channels: BTreeSet<String>,
    pub(super) counts: NsqdCounts,
    pub(super) fault: Option<(NsqdStep, NsqdFault)>,
    pub(super) is_frozen: bool,
    pub(super) is_down: bool,
    pub(super) max_message_bytes: usize,
    pub(super) message_timeout: Duration,
    pub(super) publish_delay: Duration,
}

impl Default for NsqdState {
    fn default() -> Self {
        Self {
            topics: BTreeMap::new(),
            delayed: Vec::new(),
            sent: HashMap::new(),
            next_id: 0,
            channels: BTreeSet::new(),
            counts: NsqdCounts::default(),
            fault: None,
            is_frozen: false,
            is_down: false,
            max_message_bytes: 1024 * 1024,
            message_timeout: Duration::from_secs(60),
            publish_delay: Duration::ZERO,
        }
    }
}

impl NsqdState {
    pub(super) fn store(&mut self, topic: &str, body: Vec<u8>) {
        self.next_id += 1;
        let mut id = [0; 16];
        id.copy_from_slice(format!("{:016x}", self.next_id).as_bytes());
        let message = StoredMessage { id, deliveries: 0, body, ready_at: Instant::now() };
        self.topics.entry(topic.to_owned()).or_default().push_back(message);
    }

    pub(super) fn take(&mut self, topic: &str) -> Option<Vec<u8>> {
        Some(self.topics.get_mut(topic)?.pop_front()?.body)
    }

    pub(super) fn depth(&self, topic: &str) -> usize {
        let waiting = self.topics.get(topic).map_or(0, VecDeque::len);
        let delayed = self.delayed.iter().filter(|(of, _)| of == topic).count();
        waiting + delayed + self.sent.values().filter(|sent| sent.topic == topic).count()
    }

    /// How many messages a connection has in hand.
    pub(super) fn in_hand(&self, connection: u64) -> usize {
        self.sent.values().filter(|sent| sent.connection == connection).count()
    }

    /// The next message for a connection, which has it in hand from now on.
    pub(super) fn send_next(&mut self, connection: u64, topic: &str) -> Option<StoredMessage> {
        let mut message = self.topics.get_mut(topic)?.pop_front()?;
        message.deliveries += 1;
        self.counts.delivered += 1;
        let expires_at = Instant::now() + self.message_timeout;
        let sent = SentMessage { connection, topic: topic.to_owned(), expires_at, message: message.clone() };
        self.sent.insert(message.id, sent);
        Some(message)
    }

    /// Whether the connection had it in hand.
    pub(super) fn finish(&mut self, connection: u64, id: &MessageId) -> bool {
        let found = self.take_sent(connection, id).is_some();
        self.counts.finished += u64::from(found);
        found
    }

    pub(super) fn requeue(&mut self, connection: u64, id: &MessageId, delay: Duration) -> bool {
        let Some(mut sent) = self.take_sent(connection, id) else { return false };
        self.counts.requeued += 1;
        sent.message.ready_at = Instant::now() + delay;
        self.delayed.push((sent.topic, sent.message));
        true
    }

    fn take_sent(&mut self, connection: u64, id: &MessageId) -> Option<SentMessage> {
        if self.sent.get(id)?.connection != connection { None } else { self.sent.remove(id) }
    }

    /// Puts back what waited long enough, for an answer or for its delay.
    pub(super) fn pass_time(&mut self) {
        let now = Instant::now();
        self.take_back(|state, sent| {
            let is_late = sent.expires_at <= now;
            state.timed_out += u64::from(is_late);
            is_late
        });
        let (ready, delayed) = self.delayed.drain(..).partition(|(_, message)| message.ready_at <= now);
        self.delayed = delayed;
        let ready: Vec<(String, StoredMessage)> = ready;
        for (topic, message) in ready {
            self.topics.entry(topic).or_default().push_back(message);
        }
    }

    /// Puts back what a connection had in hand when it ended.
    pub(super) fn end_connection(&mut self, connection: u64) {
        self.take_back(|_, sent| sent.connection == connection);
    }

    fn take_back(&mut self, mut is_meant: impl FnMut(&mut NsqdCounts, &SentMessage) -> bool) {
        let counts = &mut self.counts;
        let back: Vec<MessageId> =
            self.sent.iter().filter(|(_, sent)| is_meant(counts, sent)).map(|(id, _)| *id).collect();
        for sent in back.iter().filter_map(|id| self.sent.remove(id)).collect::<Vec<_>>() {
            self.topics.entry(sent.topic).or_default().push_back(sent.message);
        }
    }

    /// What happens at a step, once.
    pub(super) fn reach(&mut self, step: NsqdStep) -> Option<NsqdFault> {
        let (_, fault) = self.fault.take_if(|(at, _)| *at == step)?;
        self.is_frozen = fault == NsqdFault::Freeze;
        Some(fault)
    }
}
