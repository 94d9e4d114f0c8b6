//! What Prometheus reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use flowlord_domain::limits::LimitTable;
use flowlord_domain::workflow::{WorkflowFile, Workflows};
use flowlord_kernel::{Code, Error};
use flowlord_messages::leases::StartBucket;
use flowlord_messages::stats::{QueueBacklog, QueueLoad};
use metrics_exporter_prometheus::PrometheusBuilder;

use super::stub::{Stub, noon, send};

/// What `/metrics` shows.
pub(super) async fn metrics_of(stub: &Stub) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _until_dropped = metrics::set_default_local_recorder(&recorder);
    assert_eq!(stub.get("/metrics").await.status, 200);
    recorder.handle().render()
}

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

fn limits(phases: &[(&str, &str)]) -> Option<Arc<LimitTable>> {
    let phase = |(task, rule): &(&str, &str)| format!("[[phase]]\ntask = \"{task}\"\nrule = \"cron=@daily&{rule}\"\n");
    let text: String = phases.iter().map(phase).collect();
    let file = WorkflowFile::parse("w.toml", &text, "", "UTC".parse().ok().unwrap()).unwrap();
    let groups = BTreeMap::from([("lake".to_owned(), 4)]);
    Some(Arc::new(LimitTable::new(&Workflows::new([Arc::new(file)]), &groups)))
}

#[actix::test]
async fn it_shows_what_is_used_of_each_limit_and_no_limit_that_is_gone() {
    let stub = Stub::default();
    stub.backlog(|_| {
        let queue = |topic: &str, job: &str, leased| QueueLoad {
            topic: topic.to_owned(),
            job: job.to_owned(),
            leased,
            ..QueueLoad::default()
        };
        Ok(QueueBacklog { queues: vec![queue("load", "a", 1), queue("load", "b", 2), queue("x", "", 9)], messages: 0 })
    });
    let mut now_and_later = vec![
        limits(&[("load:a", "max_active=3&group=lake")]),
        limits(&[
            ("load:a", "max_active=3&group=lake"),
            ("load:b", "group=lake"),
            ("fetch", "rate=60/1m"),
            ("idle", "rate=2/1m"),
        ]),
    ];
    stub.limits(move |_| Ok(now_and_later.pop().flatten()));
    stub.start_buckets(|_| {
        let full_at = noon() + TimeDelta::milliseconds(12_500);
        Ok(vec![StartBucket { topic: "fetch".to_owned(), job: String::new(), full_at }])
    });
    let recorder = PrometheusBuilder::new().build_recorder();
    let _until_dropped = metrics::set_default_local_recorder(&recorder);
    let context = stub.context();
    let mut scrapes = Vec::new();
    for _ in 0..3 {
        let request = actix_web::test::TestRequest::get().uri("/metrics");
        assert_eq!(send(context.clone(), request).await.status, 200);
        scrapes.push(recorder.handle().render());
    }
    let figure = |scrape: usize, figure: &str| {
        let told = format!("{figure} ");
        scrapes[scrape].lines().find_map(|line| line.strip_prefix(&told)).map(str::to_owned)
    };
    for (name, value, later) in [
        ("flowlord_limit_active_tasks{topic=\"load\",job=\"a\"}", "1", "1"),
        ("flowlord_limit_max_active{topic=\"load\",job=\"a\"}", "3", "3"),
        ("flowlord_group_active_tasks{group=\"lake\"}", "3", "1"),
        ("flowlord_group_max_active{group=\"lake\"}", "4", "4"),
        ("flowlord_rate_free_starts{topic=\"fetch\",job=\"\"}", "47", "NaN"),
        ("flowlord_rate_max_starts{topic=\"fetch\",job=\"\"}", "60", "NaN"),
        ("flowlord_rate_free_starts{topic=\"idle\",job=\"\"}", "2", "NaN"),
    ] {
        assert_eq!(figure(0, name).as_deref(), Some(value), "{name}: {}", scrapes[0]);
        // Without an answer, as the third time, nothing changes.
        assert_eq!(
            [1, 2].map(|scrape| figure(scrape, name)),
            [Some(later.to_owned()), Some(later.to_owned())],
            "{name}"
        );
    }
    assert!(!scrapes[0].contains("topic=\"load\",job=\"b\""), "it has no limit of its own: {}", scrapes[0]);
}
