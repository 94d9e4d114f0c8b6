//! What Prometheus reads.

use flowlord_kernel::{Code, Error};
use flowlord_messages::stats::{QueueBacklog, QueueLoad};

use super::stub::{Stub, noon};

#[actix::test]
async fn it_is_text_also_when_the_database_does_not_answer() {
    let stub = Stub::default();
    stub.backlog(|_| {
        let queue = |topic: &str| QueueLoad { topic: topic.to_owned(), ..QueueLoad::default() };
        let load = QueueLoad { ready: 3, oldest_ready: Some(noon()), leased: 2, ..queue("load") };
        Ok(QueueBacklog { queues: vec![QueueLoad { delayed: 1, ..queue("later") }, load], messages: 0 })
    });
    for _ in 0..2 {
        let reply = stub.get("/metrics").await;
        assert_eq!((reply.status, reply.text.as_str()), (200, "counted 1\n"));
        assert_eq!(reply.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
        stub.backlog(|_| Err(Error::new(Code::Storage, "gone")));
    }
    assert_eq!(stub.post("/metrics", "").await.code(), "method_not_allowed");
}
