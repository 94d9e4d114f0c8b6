//! A log that is followed while its task runs, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::web::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::{TaskState, Uid};
use flowlord_kernel::Code;
use flowlord_messages::logs::ReadLog;
use flowlord_messages::tasks::ReadAttempts;
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::answer::event_stream;
use crate::context::ContextRef;
use crate::hang_up::HangUp;
use crate::log_text::end_of;
use crate::problem::{Answer, Problem};

/// Each of them reads once a second.
pub const MAX_FOLLOWERS: usize = 64;

const INTERVAL: TimeDelta = TimeDelta::seconds(1);

// A line at least this often, so that a proxy doesn't take the connection for dead.
const HEARTBEAT: TimeDelta = TimeDelta::seconds(15);

// Then the client comes back by itself, and shows again that it may look.
const LASTS: TimeDelta = TimeDelta::minutes(15);

/// Places for those who follow a log.
#[derive(Debug)]
pub struct LogFollowers(Arc<Semaphore>);

impl Default for LogFollowers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_FOLLOWERS)))
    }
}

/// What is asked of a log that is followed.
#[derive(Debug, Clone, Copy)]
pub struct FollowRequest {
    pub uid: Uid,
    /// Only what comes after so many bytes.
    pub after: u64,
    /// Of what is there already, the end: at most so many bytes.
    pub tail: Option<usize>,
}

/// Where a client goes on that comes back.
pub fn last_event_id(request: &HttpRequest) -> Option<u64> {
    request.headers().get("last-event-id")?.to_str().ok()?.parse().ok()
}

/// Answers with the events of a log, each part as `show` writes it.
pub fn answer_followed(
    context: ContextRef,
    request: &HttpRequest,
    asked: FollowRequest,
    show: impl FnMut(&str) -> String + 'static,
) -> Answer {
    let mut answer = event_stream();
    // HEAD has no body to wait for.
    if *request.method() == Method::HEAD {
        return Ok(answer.finish());
    }
    let events = follow_log(context, asked, show)?;
    Ok(match HangUp::of(request) {
        Some(hang_up) => answer.streaming(events.take_until(hang_up.wait())),
        None => answer.streaming(events),
    })
}

struct LogFollower<Show> {
    context: ContextRef,
    request: FollowRequest,
    /// Writes a part as its reader shows it.
    show: Show,
    until: DateTime<Utc>,
    heard: DateTime<Utc>,
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

/// The events of a log, until its task has ended: the id of each is where the next one goes on, and the last is `end`.
fn follow_log<Show: FnMut(&str) -> String>(
    context: ContextRef,
    request: FollowRequest,
    show: Show,
) -> Result<impl Stream<Item = Result<Bytes, Infallible>>, Problem> {
    let Ok(place) = Arc::clone(&context.log_followers.0).try_acquire_owned() else {
        let detail = format!("{MAX_FOLLOWERS} follow logs already: close some, or read the log without `follow`");
        return Err(Problem::new(Code::Busy, detail));
    };
    let now = context.deps.kit.now();
    let (until, heard) = (now + LASTS, now);
    let follower = LogFollower { context, request, show, until, heard, is_over: false, _place: place };
    Ok(unfold(follower, |mut follower| async move {
        let event = follower.next_event().await?;
        Some((Ok(event), follower))
    }))
}

impl<Show: FnMut(&str) -> String> LogFollower<Show> {
    /// None when it is over.
    async fn next_event(&mut self) -> Option<Bytes> {
        while !self.is_over && !self.context.is_stopping() {
            // Asked first: what was written before the end is read after it.
            let has_ended = self.has_ended().await?;
            let FollowRequest { uid, after, tail } = self.request;
            let read = ReadLog { uid, after, is_followed: !has_ended };
            // After an error the client comes back, with the id of the last event.
            let part = self.context.deps.logs.call(read).await.ok()?.unwrap_or_default();
            let now = self.context.deps.kit.now();
            if part.end > after {
                (self.request.after, self.request.tail, self.heard) = (part.end, None, now);
                let text = end_of(&part.text, tail.unwrap_or(usize::MAX));
                return Some(event_text(part.end, &(self.show)(text)));
            }
            self.is_over = has_ended || now >= self.until;
            if has_ended {
                return Some(Bytes::from_static(b"event: end\ndata:\n\n"));
            }
            if now - self.heard >= HEARTBEAT {
                self.heard = now;
                return Some(Bytes::from_static(b":\n\n"));
            }
            self.context.deps.kit.clock().sleep_until(now + INTERVAL).await;
        }
        None
    }

    /// Whether nothing more comes; none when that can't be read.
    async fn has_ended(&self) -> Option<bool> {
        let asked = ReadAttempts { uids: vec![self.request.uid] };
        let task = self.context.deps.view_reader.call(asked).await.ok()?.pop().flatten();
        Some(task.is_none_or(|task| task.state == TaskState::Done))
    }
}

fn event_text(id: u64, text: &str) -> Bytes {
    let mut event = format!("id: {id}\n");
    for line in text.split('\n') {
        event.extend(["data: ", line, "\n"]);
    }
    event.push('\n');
    Bytes::from(event)
}
