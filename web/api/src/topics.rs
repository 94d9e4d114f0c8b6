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
        let ready = backlog.ready.iter().find(|(known, ..)| known == topic).map_or(0, |(_, tasks, _)| *tasks);
        let leased = count_of(&backlog.leased, topic);
        // Leased tasks count: a scaler that saw only ready ones would end workers in the middle of their tasks.
        Self { ready, leased, load: ready + leased }
    }
}

/// Tasks of a topic in a list that has only topics with tasks.
pub(crate) fn count_of(counts: &[(String, u64)], topic: &str) -> u64 {
    counts.iter().find(|(known, _)| known == topic).map_or(0, |(_, tasks)| *tasks)
}

async fn topic_load(context: ContextRef, topic: Path<String>) -> Answer {
    let backlog = context.deps.view_reader.call(ReadBacklog).await?;
    json(StatusCode::OK, &TopicLoad::of_topic(&topic, &backlog))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_and_leased_tasks_are_the_load_of_their_topic_alone() {
        let since = DateTime::UNIX_EPOCH;
        let backlog = QueueBacklog {
            ready: vec![("load".to_owned(), 3, since), ("report".to_owned(), 7, since)],
            delayed: vec![("load".to_owned(), 11)],
            leased: vec![("load".to_owned(), 2)],
            messages: 13,
        };
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
