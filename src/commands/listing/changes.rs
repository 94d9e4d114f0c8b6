//! Waiting for changes of a list that is watched, by the events that the pages use.

use std::time::Duration;

use reqwest::Response;

use super::PATIENCE;
use crate::commands::work::client::ApiClient;

/// Without any event a list is drawn anew after this, since it shows ages.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// The events of a service that say that a list changed.
pub(super) struct ListChanges<'a> {
    client: &'a ApiClient,
    path: String,
    stream: Option<Response>,
}

impl<'a> ListChanges<'a> {
    pub(super) fn of_kinds(client: &'a ApiClient, kinds: &str) -> Self {
        Self { client, path: format!("/events?kind={kinds}"), stream: None }
    }

    /// Waits for a change, at least for `pace`; where the service has no events now, for that alone.
    pub(super) async fn wait(&mut self, pace: Duration) {
        let pause = tokio::time::sleep(pace);
        tokio::pin!(pause);
        let mut is_changed = false;
        if self.stream.is_none() {
            self.stream = self.client.open(&self.path, None, PATIENCE).await.ok();
            // What changed since the list was read has no event here.
            is_changed = true;
        }
        // Events are read during the pause, too: a reader that doesn't keep up is cut off.
        while self.stream.is_some() {
            tokio::select! {
                () = &mut pause => break,
                () = self.next_event() => is_changed = true,
            }
        }
        pause.await;
        if !is_changed {
            // Without any event the list is drawn anew after all, since it shows ages.
            let _ = tokio::time::timeout(LONGEST_PAUSE, self.next_event()).await;
        }
    }

    /// Returns with a part of the stream, or at its end.
    async fn next_event(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        if !matches!(stream.chunk().await, Ok(Some(_))) {
            self.stream = None;
        }
    }
}
