//! What Prometheus reads.

use flowlord_kernel::{Code, Error};
use flowlord_messages::stats::QueueBacklog;

use super::stub::{Stub, noon};

#[actix::test]
async fn it_is_text_also_when_the_database_does_not_answer() {
    let stub = Stub::default();
    stub.backlog(|_| {
        let ready = vec![("load".to_owned(), 3, noon())];
        Ok(QueueBacklog {
            ready,
            delayed: vec![("later".to_owned(), 1)],
            leased: vec![("load".to_owned(), 2)],
            messages: 0,
        })
    });
    for _ in 0..2 {
        let reply = stub.get("/metrics").await;
        assert_eq!((reply.status, reply.text.as_str()), (200, "counted 1\n"));
        assert_eq!(reply.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
        stub.backlog(|_| Err(Error::new(Code::Storage, "gone")));
    }
    assert_eq!(stub.post("/metrics", "").await.code(), "method_not_allowed");
}
