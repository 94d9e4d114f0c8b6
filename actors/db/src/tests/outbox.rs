//! The outbox: order by route, outages, threads, and what became of a message.

use flowlord_messages::outbox::{
    DeliveryOutcome, DeliveryRecord, EnqueueMessage, NewMessage, ReadMessage, ReadOutages, ReadPendingMessages,
    ReadThreads, RecordDelivery, RouteTransport, SlackThread, TransportOutage,
};

use super::*;

async fn put(db: &Db, route: &str, key: &str) -> i64 {
    let message =
        NewMessage { route: route.to_owned(), kind: "test".to_owned(), key: key.to_owned(), payload: "{}".to_owned() };
    db.write(EnqueueMessage { now: noon(), message }).await.unwrap()
}

fn mark(id: i64, delivery: DeliveryOutcome) -> RecordDelivery {
    RecordDelivery { now: noon(), id, delivery, way: None, thread: None }
}

#[actix::test]
async fn each_route_has_its_own_order() {
    let db = Db::new();
    let mut ids = Vec::new();
    for (route, key) in [("b", "1"), ("a", "2"), ("b", "3"), ("a", "4"), ("c", "5"), ("b", "6")] {
        ids.push(put(&db, route, key).await);
    }
    let heads = async |limit| -> Vec<i64> {
        let rows = db.read(ReadPendingMessages { limit }).await.unwrap();
        rows.into_iter().map(|row| row.id).collect()
    };
    assert_eq!(heads(1).await, [ids[0], ids[1], ids[4]]);
    assert_eq!(heads(2).await, [ids[0], ids[1], ids[2], ids[3], ids[4]]);
    db.write(mark(ids[0], DeliveryOutcome::Sent)).await.unwrap();
    db.write(mark(ids[4], DeliveryOutcome::Sent)).await.unwrap();
    assert_eq!(heads(1).await, [ids[1], ids[2]]);
    for id in ids {
        db.write(mark(id, DeliveryOutcome::Sent)).await.unwrap();
    }
    assert!(heads(9).await.is_empty());
}

#[actix::test]
async fn an_outage_is_remembered_until_the_way_works() {
    let db = Db::new();
    let id = put(&db, "a", "1").await;
    let outage = TransportOutage { since: noon(), failures: 3, retry_at: noon() + seconds(9) };
    let way = |outage| Some(RouteTransport { route: "a".to_owned(), outage });
    let refused = DeliveryOutcome::Refused { error: "no".to_owned(), retry_at: noon() };
    db.write(RecordDelivery { way: way(Some(outage)), ..mark(id, refused.clone()) }).await.unwrap();
    let db = db.reopen();
    assert_eq!(db.read(ReadOutages).await.unwrap(), [way(Some(outage)).unwrap()]);
    db.write(mark(id, refused)).await.unwrap();
    assert_eq!(db.read(ReadOutages).await.unwrap().len(), 1, "an attempt that says nothing of the way");
    db.write(RecordDelivery { way: way(None), ..mark(id, DeliveryOutcome::Sent) }).await.unwrap();
    assert_eq!(db.read(ReadOutages).await.unwrap(), []);
}

#[actix::test]
async fn the_message_of_an_incident_is_found_by_route_and_opening() {
    let db = Db::new();
    let id = put(&db, "b", "1").await;
    let thread = |via: &str, ts: &str| SlackThread {
        route: "b".to_owned(),
        opened: noon(),
        via: via.to_owned(),
        channel: "C1".to_owned(),
        ts: ts.to_owned(),
        payload: "{}".to_owned(),
    };
    for thread in [thread("a", "1.0"), thread("b", "2.0"), thread("b", "3.0")] {
        db.write(RecordDelivery { thread: Some(thread), ..mark(id, DeliveryOutcome::Sent) }).await.unwrap();
    }
    let read = |opened| ReadThreads { route: "b".to_owned(), opened };
    let own_first = [thread("b", "3.0"), thread("a", "1.0")];
    assert_eq!(db.read(read(noon())).await.unwrap(), own_first, "the last one of each way");
    assert_eq!(db.read(read(noon() + seconds(1))).await.unwrap(), []);
}

#[actix::test]
async fn what_became_of_a_message_can_be_asked() {
    let db = Db::new();
    let (first, id) = (put(&db, "a", "1").await, put(&db, "a", "2").await);
    let fate = async || db.read(ReadMessage { id }).await.unwrap().unwrap();
    let fresh = DeliveryRecord {
        sent: None,
        attempts: 0,
        error: None,
        retry_at: None,
        uncertain: false,
        ahead: 1,
        first_error: None,
    };
    assert_eq!(fate().await, fresh);
    let retry_at = noon() + seconds(5);
    db.write(mark(id, DeliveryOutcome::Refused { error: "no_service".to_owned(), retry_at })).await.unwrap();
    let refused =
        DeliveryRecord { attempts: 1, error: Some("no_service".to_owned()), retry_at: Some(retry_at), ..fresh.clone() };
    assert_eq!(fate().await, refused);
    let unknown = DeliveryOutcome::Unknown { error: "hung".to_owned(), retry_at };
    db.write(mark(first, unknown)).await.unwrap();
    assert_eq!(fate().await, DeliveryRecord { first_error: Some("hung".to_owned()), ..refused });
    db.write(mark(first, DeliveryOutcome::Sent)).await.unwrap();
    let fresh = DeliveryRecord { ahead: 0, ..fresh };
    db.write(mark(id, DeliveryOutcome::Sent)).await.unwrap();
    assert_eq!(fate().await, DeliveryRecord { sent: Some(noon()), attempts: 2, ..fresh });
    assert_eq!(db.read(ReadMessage { id: 99 }).await.unwrap(), None);
}
