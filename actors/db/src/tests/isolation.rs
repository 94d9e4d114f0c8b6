//! A command that fails does so alone, whatever else is in its transaction.

use flowlord_messages::stats::ReadDayTotals;
use flowlord_messages::tasks::{FindTasks, TaskFilter};
use proptest::prelude::*;

use super::trouble::Hold;
use super::*;
use crate::sql::CachedSql as _;
use crate::writer::command::WriteCommand;
use crate::writer::context::{CommandError, CommandResult, WriteContext};

/// What a command does after it maybe created a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Succeeds,
    Refuses,
    BreaksARule,
    Panics,
}

/// Creates a task of the topic, or none, and ends.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<()>")]
struct Attempted {
    topic: Option<&'static str>,
    ending: Ending,
}

impl WriteCommand for Attempted {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<()> {
        if let Some(topic) = self.topic {
            context.insert_task(&task(topic, ""), noon())?;
        }
        match self.ending {
            Ending::Succeeds => Ok(()),
            Ending::Refuses => Err(CommandError::refused(Code::InvalidRequest, "refused")),
            Ending::BreaksARule => {
                context.run_sql("INSERT INTO queue (id, topic, job) VALUES (1, 'x', ''), (1, 'x', '')", [])?;
                Ok(())
            }
            Ending::Panics => panic!("planned"),
        }
    }
}

/// The topics of the tasks that are there, and how many tasks the totals of the day count.
async fn stored(db: &Db) -> (Vec<String>, u64) {
    let tasks = db.read(FindTasks::oldest_first(TaskFilter::default(), 100)).await.unwrap().tasks;
    let totals = db.read(ReadDayTotals { day: noon().date_naive() }).await.unwrap();
    let mut topics: Vec<_> = tasks.into_iter().map(|task| task.topic).collect();
    topics.sort();
    (topics, totals.rows.iter().map(|row| row.counts.total).sum())
}

fn attempted() -> impl Strategy<Value = Attempted> {
    let topic = prop::option::of(prop::sample::select(vec!["a", "b", "c"]));
    let ending = prop::sample::select(vec![
        Ending::Succeeds,
        Ending::Succeeds,
        Ending::Succeeds,
        Ending::Refuses,
        Ending::BreaksARule,
        Ending::Panics,
    ]);
    (topic, ending).prop_map(|(topic, ending)| Attempted { topic, ending })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_command_that_fails_does_so_alone(commands in prop::collection::vec(attempted(), 1..12)) {
        actix::System::new().block_on(async {
            let db = Db::new();
            let (hold, has_begun, go_on) = Hold::new();
            let held = db.write(hold);
            has_begun.recv().unwrap();
            let answers: Vec<_> = commands.iter().map(|command| db.write(*command)).collect();
            // All are in the mailbox now: one transaction.
            go_on.send(()).unwrap();
            held.await.unwrap();
            for (command, answer) in commands.iter().zip(answers) {
                let expected = match command.ending {
                    Ending::Succeeds => None,
                    Ending::Refuses => Some(Code::InvalidRequest),
                    Ending::BreaksARule => Some(Code::Storage),
                    Ending::Panics => Some(Code::Internal),
                };
                assert_eq!(answer.await.err().map(|err| err.code), expected, "{commands:?}");
            }
            let successful = commands.iter().filter(|command| command.ending == Ending::Succeeds);
            let mut topics: Vec<_> = successful.filter_map(|command| command.topic).map(str::to_owned).collect();
            topics.sort();
            let count = topics.len() as u64;
            assert_eq!(stored(&db).await, (topics, count), "{commands:?}");
            // What was undone left no name behind: a task of each topic finds its queue.
            db.create(["a", "b", "c"].map(|topic| task(topic, "")).to_vec()).await;
            assert_eq!(stored(&db).await.0.len() as u64, count + 3, "{commands:?}");
        });
    }
}
