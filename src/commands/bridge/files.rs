//! From the topic of file events to the service, each in a request of its own.

use std::rc::Rc;

use futures_util::future::join_all;
use serde::de::IgnoredAny;

use super::Bridge;
use super::consume::{MessageQueue, reject};
use super::nsq::consumer::ReceivedMessage;
use super::summary::add;
use crate::commands::work::client::{ApiRefusal, ForeignBody};

/// So many requests are under way at the same time.
const AT_ONCE: usize = 8;

/// Relays file events until the queue ends.
pub(super) async fn relay_files(bridge: Rc<Bridge>, mut queue: MessageQueue) -> anyhow::Result<()> {
    while let Some(batch) = queue.next_batch(AT_ONCE).await {
        let posted = join_all(batch.into_iter().map(|message| post_event(&bridge, message))).await;
        let (mut later, mut refusal) = (Vec::new(), None);
        // Only what failed comes again: the others are finished already.
        for (message, why) in posted.into_iter().flatten() {
            later.push(message);
            refusal = Some(why);
        }
        match refusal {
            None => queue.speed_up(),
            Some(refusal) => queue.postpone(&bridge, later, &refusal).await,
        }
    }
    Ok(())
}

/// Posts one; it comes back when the service can't take it now.
async fn post_event(bridge: &Bridge, received: ReceivedMessage) -> Option<(ReceivedMessage, ApiRefusal)> {
    let topic = &bridge.config.files;
    // Where the event itself doesn't tell versions of a file apart, a message that comes again must not start a second
    // task.
    let key = format!("nsq {topic} {}", received.message.id.to_text());
    match bridge.client.post_foreign::<IgnoredAny>("/files", Some(&key), received.message.body.clone()).await {
        Ok(ForeignBody::Taken(_)) => {
            add(&bridge.counts.files, 1);
            received.finish().await;
            None
        }
        Ok(ForeignBody::Refused(detail)) => {
            reject(bridge, received, topic, &detail).await;
            None
        }
        Err(refusal) => Some((received, refusal)),
    }
}
