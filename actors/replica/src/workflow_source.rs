//! Whether the workflow files of a node are those of its leader: the node that leads uses its own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;

/// How often a node reads its workflow files to compare them.
pub(crate) const HASH_INTERVAL: Duration = Duration::from_secs(300);

/// Reads the workflow files of this node. Clones share it.
#[derive(Clone)]
pub struct WorkflowSource(Arc<dyn Fn() -> LocalBoxFuture<'static, Option<String>> + Send + Sync>);

impl WorkflowSource {
    /// By a function that answers the hash of all files; none while they can't be read.
    pub fn new<F: Future<Output = Option<String>> + 'static>(read: impl Fn() -> F + Send + Sync + 'static) -> Self {
        Self(Arc::new(move || read().boxed_local()))
    }

    pub(crate) async fn read_hash(self) -> Option<String> {
        (self.0)().await
    }
}

impl fmt::Debug for WorkflowSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkflowSource")
    }
}

/// What a follower has, and what its leader has.
#[derive(Debug, Default)]
pub(crate) struct WorkflowComparison {
    pub(crate) own: Option<String>,
    pub(crate) leader: Option<String>,
}

impl WorkflowComparison {
    /// What people must know where both are known and differ.
    pub(crate) fn warning(&self, leader: &str) -> Option<String> {
        let (own, others) = (self.own.as_ref()?, self.leader.as_ref()?);
        (own != others).then(|| {
            format!(
                "the workflow files of this node aren't those of {leader}, which leads: should this node lead, other tasks \
                 start. Put the same files on all nodes (--workflow)"
            )
        })
    }
}
