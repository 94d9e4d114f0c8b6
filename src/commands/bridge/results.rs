//! From the topic of done tasks to the service: many results in one request, each answered to nsqd afterwards.

use std::rc::Rc;
use std::time::Duration;

use flowlord_kernel::Code;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Bridge;
use super::consume::{MessageQueue, reject};
use super::held::TaskKey;
use super::nsq::consumer::ReceivedMessage;
use super::summary::add;
use crate::commands::work::client::ForeignBody;

const MAX_BATCH: usize = 100;

/// When a result comes again that the service couldn't take by itself.
const RETRY_DELAY: Duration = Duration::from_secs(5);

#[derive(Debug, Deserialize)]
struct ResultsAnswer {
    accepted: usize,
    duplicates: usize,
    rejected: Vec<RejectedResult>,
}

#[derive(Debug, Deserialize)]
struct RejectedResult {
    index: usize,
    code: String,
    detail: String,
}

/// Relays results until the queue ends.
pub(super) async fn relay_results(bridge: Rc<Bridge>, mut queue: MessageQueue) -> anyhow::Result<()> {
    while let Some(batch) = queue.next_batch(MAX_BATCH).await {
        let (readable, unreadable): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|received| is_object(&received.message.body));
        for message in unreadable {
            reject(&bridge, message, &bridge.config.done, "it is no JSON object").await;
        }
        if !readable.is_empty() {
            post_batch(&bridge, &mut queue, readable).await;
        }
    }
    Ok(())
}

fn is_object(body: &[u8]) -> bool {
    // Only checked: one body that is no JSON would make the whole array unreadable.
    serde_json::from_slice::<&RawValue>(body).is_ok_and(|value| value.get().starts_with('{'))
}

async fn post_batch(bridge: &Bridge, queue: &mut MessageQueue, mut batch: Vec<ReceivedMessage>) {
    match bridge.client.post_foreign("/results", None, json_array(&batch)).await {
        Ok(ForeignBody::Taken(answer)) => {
            settle_batch(bridge, batch, answer).await;
            queue.speed_up();
        }
        Ok(ForeignBody::Refused(detail)) if batch.len() == 1 => {
            if let Some(message) = batch.pop() {
                reject(bridge, message, &bridge.config.done, &detail).await;
            }
        }
        // One of them is to blame: the others are taken without it.
        Ok(ForeignBody::Refused(_)) => {
            for message in batch {
                Box::pin(post_batch(bridge, queue, vec![message])).await;
            }
        }
        Err(refusal) => queue.postpone(bridge, batch, &refusal).await,
    }
}

fn json_array(batch: &[ReceivedMessage]) -> Vec<u8> {
    // Joined as bytes: the service gets exactly what the worker wrote.
    let bodies: Vec<&[u8]> = batch.iter().map(|received| received.message.body.as_slice()).collect();
    [&b"["[..], &bodies.join(&b','), b"]"].concat()
}

/// Answers each message as the service judged it.
async fn settle_batch(bridge: &Bridge, batch: Vec<ReceivedMessage>, answer: ResultsAnswer) {
    add(&bridge.counts.results, answer.accepted);
    add(&bridge.counts.duplicates, answer.duplicates);
    // Rejected ones, too: no worker has these tasks any more.
    bridge.forget_ended(batch.iter().filter_map(|received| task_key(&received.message.body)));
    // The service names them in the order of the request.
    let mut rejected = answer.rejected.into_iter().peekable();
    for (index, message) in batch.into_iter().enumerate() {
        match rejected.next_if(|rejected| rejected.index == index) {
            None => message.finish().await,
            Some(RejectedResult { code, .. }) if is_temporary(&code) => {
                add(&bridge.counts.requeued, 1);
                message.requeue(RETRY_DELAY).await;
            }
            Some(RejectedResult { code, detail, .. }) => {
                reject(bridge, message, &bridge.config.done, &format!("{code}: {detail}")).await;
            }
        }
    }
}

fn task_key(body: &[u8]) -> Option<TaskKey> {
    serde_json::from_slice(body).ok()
}

/// Whether a result may be taken when it comes again. Of a code that a newer service knows, nobody can tell.
fn is_temporary(code: &str) -> bool {
    let known = Code::ALL.iter().find(|known| known.as_str() == code);
    known.is_none_or(|known| known.retry_after().is_some() || known.status() >= 500)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_objects_are_sent() {
        for (body, expected) in [
            (&b"{}"[..], true),
            (b" {\"type\":\"a\"}\n", true),
            (b"[{}]", false),
            (b"\"a\"", false),
            (b"{", false),
            (b"{}{}", false),
            (b"{\"a\":\"\xff\"}", false),
            (b"", false),
        ] {
            assert_eq!(is_object(body), expected, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn what_may_be_taken_later_is_told_from_what_never_is() {
        for code in ["storage", "busy", "internal", "request_timeout", "not_leader", "of_the_future"] {
            assert!(is_temporary(code), "{code}");
        }
        for code in
            ["invalid_json", "invalid_request", "invalid_topic", "task_unknown", "already_finished", "lease_lost"]
        {
            assert!(!is_temporary(code), "{code}");
        }
    }
}
