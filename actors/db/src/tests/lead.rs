//! A node of a cluster: it writes while it leads, and takes what others wrote while it follows.

use actix::Arbiter;
use flowlord_kernel::time_since_boot;
use flowlord_messages::changelog::ReadSegment;
use flowlord_messages::cluster::{ApplySegment, SegmentOutcome};
use flowlord_messages::database::CloseDatabase;
use flowlord_messages::events::TakeChanges;
use flowlord_messages::tasks::{FindTasks, TaskFilter};

use super::*;
use crate::{FollowingDatabase, copy, log_state};

#[actix::test]
async fn nothing_is_acknowledged_while_another_node_may_lead() {
    let (folder, lease) = (tempfile::tempdir().unwrap(), LeaderLease::lapsed());
    let db = Db::leased(folder, Arc::new(SystemClock), WorkCounter::default(), lease.clone());
    let refused = db.write(creation(vec![task("a", "1")])).await.unwrap_err();
    assert_eq!(refused.code, Code::NotLeader);
    assert!(refused.detail.contains("nothing of this was stored"), "{refused:?}");
    lease.renew(time_since_boot());
    db.create(vec![task("a", "2")]).await;
    lease.give_up();
    assert_eq!(db.write(creation(vec![task("a", "3")])).await.unwrap_err().code, Code::NotLeader);
    let listed = db.read(FindTasks::newest_first(TaskFilter::default(), 10)).await.unwrap();
    assert_eq!(listed.tasks.len(), 1, "what was refused wasn't begun, and reads go on");
}

/// A node whose database follows that of another.
#[actix::test]
async fn a_follower_shows_what_the_leader_wrote_and_tells_who_looks_on() {
    let leader_folder = tempfile::tempdir().unwrap();
    let arbiter = Arbiter::new();
    let environment = ActorEnvironment::system(Arc::new(|name: &str| panic!("{name} gave up")));
    let lock = FolderLock::take(leader_folder.path()).unwrap();
    let leader = Database::open(
        lock,
        Some(7),
        OwnLead { entry: 9, ..OwnLead::of_single() },
        &arbiter.handle(),
        environment.kit("db"),
        CommitHints::default(),
    )
    .unwrap();
    let follower_folder = tempfile::tempdir().unwrap();
    copy(&leader_folder.path().join(crate::DATABASE), &follower_folder.path().join(crate::DATABASE)).unwrap();
    let lock = FolderLock::take(follower_folder.path()).unwrap();
    let follower =
        FollowingDatabase::open(lock, &arbiter.handle(), environment.kit("db"), CommitHints::default()).unwrap();
    let create = environment.port::<_, CreateTasks>("db", &leader.owner);
    create.call(creation(vec![task("a", "1"), task("b", "2")])).await.unwrap();
    let read = environment.port::<_, ReadSegment>("db", &leader.owner);
    let segment = read.call(ReadSegment { at: noon(), most: 1_000 }).await.unwrap().segment.unwrap();
    let apply = environment.port::<_, ApplySegment>("db", &follower.follower);
    let (digest, bytes) = (segment.digest, segment.bytes);
    let message = |entry| ApplySegment { entry, digest: digest.clone(), bytes: bytes.clone() };
    assert_eq!(apply.call(message(3)).await.unwrap(), SegmentOutcome::Applied { at: noon() });
    assert_eq!(apply.call(message(4)).await.unwrap(), SegmentOutcome::Applied { at: noon() }, "again does no harm");
    let find = environment.port::<_, FindTasks>("readers", &follower.readers);
    let found = find.call(FindTasks::newest_first(TaskFilter::default(), 10)).await.unwrap();
    assert_eq!(found.tasks.len(), 2);
    let changes = environment.port::<_, TakeChanges>("db", &follower.follower).call(TakeChanges).await.unwrap();
    assert_eq!(changes.tasks.len(), 2);
    let broken = ApplySegment { entry: 5, digest: digest.clone(), bytes: vec![1] };
    assert!(matches!(apply.call(broken).await.unwrap(), SegmentOutcome::Diverged(why) if why.contains("SHA-256")));
    environment.port::<_, CloseDatabase>("db", &follower.follower).call(CloseDatabase).await.unwrap();
    assert_eq!(apply.call(message(6)).await.unwrap_err().code, Code::Stopping);
    assert_eq!(log_state(follower_folder.path()).unwrap().entry, 4);
}
