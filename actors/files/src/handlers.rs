//! What others ask of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix::{Handler, ResponseFuture};
use flowlord_kernel::Pong;
use flowlord_kernel::{Ping, Result, guarded};
use flowlord_messages::files::{FileArrived, FileSource, Recorded, StopFiles, WatchedPlace, WatchedPlaces};
use tokio::sync::oneshot;

use crate::Files;
use crate::record::Arrived;

impl Handler<FileArrived> for Files {
    type Result = ResponseFuture<Result<Recorded>>;

    fn handle(&mut self, FileArrived { file, ignored }: FileArrived, _: &mut Self::Context) -> Self::Result {
        let recorder = self.recorder.clone();
        let arrived = Arrived { file, source: FileSource::Api, ignored, seen: None };
        Box::pin(async move { recorder.record(arrived).await })
    }
}

impl Handler<WatchedPlaces> for Files {
    type Result = Result<Arc<Vec<WatchedPlace>>>;

    fn handle(&mut self, _: WatchedPlaces, _: &mut Self::Context) -> Self::Result {
        Ok(self.statuses())
    }
}

impl Handler<StopFiles> for Files {
    type Result = ResponseFuture<Result<()>>;

    fn handle(&mut self, _: StopFiles, ctx: &mut Self::Context) -> Self::Result {
        let (reply, idle) = oneshot::channel();
        guarded(self, ctx, |this, ctx| {
            this.stopping.store(true, Ordering::Relaxed);
            this.waiting.push(reply);
            this.set_timer(ctx);
            this.answer_stops();
        });
        // A dropped sender is a restart: nothing is under way then.
        Box::pin(async move {
            let _idle = idle.await;
            Ok(())
        })
    }
}

impl Handler<Ping> for Files {
    type Result = Result<Pong>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Result<Pong> {
        Ok(Pong { restarts: self.recorder.deps.supervision.restarts() })
    }
}
