//! How many connections are open.

use std::sync::Arc;

use tokio::sync::watch;

#[derive(Debug, Clone, Default)]
pub struct ConnectionCount(Arc<watch::Sender<usize>>);

/// One of them, while it lives.
pub struct CountedConnection(ConnectionCount);

impl ConnectionCount {
    pub fn begin(&self) -> CountedConnection {
        self.0.send_modify(|open| *open += 1);
        CountedConnection(self.clone())
    }

    pub fn open(&self) -> usize {
        *self.0.borrow()
    }

    pub async fn none(&self) {
        let mut open = self.0.subscribe();
        let _sender_is_ours = open.wait_for(|open| *open == 0).await;
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.0.0.send_modify(|open| *open = open.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix::test]
    async fn connections_count_while_they_live() {
        let connections = ConnectionCount::default();
        let (one, other) = (connections.begin(), connections.clone().begin());
        assert_eq!(connections.open(), 2);
        drop(one);
        assert_eq!(connections.open(), 1);
        tokio::select! {
            biased;
            () = connections.none() => panic!("one is open"),
            () = std::future::ready(()) => {}
        }
        drop(other);
        connections.none().await;
    }
}
