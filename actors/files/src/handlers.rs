//! What others ask of it.

use actix::{Handler, ResponseFuture};
use flowlord_messages::files::{FileArrived, FileSource, Recorded};
use flowlord_messages::health::Pong;
use flowlord_messages::{Ping, Result};

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

impl Handler<Ping> for Files {
    type Result = Result<Pong>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Result<Pong> {
        Ok(Pong { restarts: self.recorder.deps.supervision.restarts() })
    }
}
