//! How much a topic has to do, for programs that start and stop workers.

use flowlord_messages::stats::{QueueBacklog, ReadBacklog};
use flowlord_web_core::route::RequiredRole;

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    // A scaler starts workers and has their token; one that only watches has a viewer's.
    let role = RequiredRole::Either(Role::Worker, Role::Viewer);
    let example = json!({"ready": 3, "leased": 2, "load": 5});
    vec![
        Route::view("/api/v1/topics/{topic}/load", role, topic_load)
            .about("work", "How much a topic has to do")
            .says(
                "For scalers, like KEDA's `metrics-api`. A topic without tasks has zeros, also one that never had any.",
            )
            .path("topic", "the topic; `type` of its tasks", "load")
            .answers::<TopicLoad>(200, "its ready and leased tasks, and both together as `load`", example),
    ]
}

#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct TopicLoad {
    ready: u64,
    leased: u64,
    /// Both together.
    load: u64,
}

impl TopicLoad {
    /// A topic without tasks has zeros, whether or not it ever had any: a scaler that got an error would keep the last
    /// workers instead of ending them.
    fn of_topic(topic: &str, backlog: &QueueBacklog) -> Self {
        let load = backlog.by_topic().into_iter().find(|load| load.topic == topic).unwrap_or_default();
        // Leased tasks count: a scaler that saw only ready ones would end workers in the middle of their tasks.
        Self { ready: load.ready, leased: load.leased, load: load.ready + load.leased }
    }
}

async fn topic_load(context: ContextRef, topic: Path<String>) -> Answer {
    let backlog = context.deps.view_reader.call(ReadBacklog).await?;
    json(StatusCode::OK, &TopicLoad::of_topic(&topic, &backlog))
}

#[cfg(test)]
mod tests {
    use flowlord_messages::stats::QueueLoad;

    use super::*;

    #[test]
    fn ready_and_leased_tasks_are_the_load_of_their_topic_alone() {
        let queue = |topic: &str, job: &str, ready, leased| QueueLoad {
            topic: topic.to_owned(),
            job: job.to_owned(),
            ready,
            leased,
            delayed: 11,
            ..QueueLoad::default()
        };
        let queues = vec![queue("load", "a", 1, 2), queue("load", "b", 2, 0), queue("report", "", 7, 0)];
        let backlog = QueueBacklog { queues, messages: 13 };
        let loads = ["load", "report", "unknown"].map(|topic| TopicLoad::of_topic(topic, &backlog));
        assert_eq!(
            loads,
            [
                TopicLoad { ready: 3, leased: 2, load: 5 },
                TopicLoad { ready: 7, leased: 0, load: 7 },
                TopicLoad { ready: 0, leased: 0, load: 0 },
            ]
        );
    }
}
