//! The page of what people changed.

use actix_web::http::Method;
use chrono::TimeDelta;
use flowlord_domain::Role;
use flowlord_kernel::{Code, Error};
use flowlord_messages::audit::{AuditAction, AuditRecord, AuditRecordPage, StoredAuditRecord};
use flowlord_messages::tokens::StoredToken;
use flowlord_web_core::auth::hash_of;

use super::access::{closed, with};
use super::pages::assert_strict;
use super::stub::{Stub, noon, request, send};

fn change(id: i64, who: &str, what: &str, action: AuditAction) -> StoredAuditRecord {
    let change = AuditRecord {
        at: noon() - TimeDelta::minutes(125),
        who: who.to_owned(),
        from: "192.0.2.7".to_owned(),
        action,
        what: what.to_owned(),
        detail: "note=<b>&do=cancel".to_owned(),
        status: 303,
    };
    StoredAuditRecord { id, change }
}

fn stub() -> Stub {
    let stub = Stub::default();
    stub.tokens_read(|_| {
        let token =
            |name: &str| StoredToken { name: name.to_owned(), role: Role::Admin, hash: hash_of(name), created: noon() };
        Ok(vec![token("bob"), token("ann")])
    });
    stub.changes(|_| {
        let changes = vec![
            change(8, "ann", "POST /web/task/00000000000007", AuditAction::Cancel),
            change(7, "", "POST /refresh", AuditAction::Refresh),
            change(6, "Eve <x>", "silence_1h", AuditAction::Silence),
        ];
        Ok(AuditRecordPage { changes, next: Some(6), looked_until: None })
    });
    stub
}

#[actix::test]
async fn the_page_tells_who_changed_what_when_and_from_where() {
    let page = stub().get("/web/audit").await.text;
    for part in [
        "<title>Audit 2026-03-02 · flowlord</title>",
        "aria-current=\"page\">Audit</a>",
        "09:55:00</time>",
        "<small>2 h 5 min ago</small>",
        "href=\"/web/audit?who=ann\">ann</a>",
        "no token needed",
        "href=\"/web/audit?who=Eve+%3Cx%3E\">Eve &#60;x&#62;</a>",
        "192.0.2.7",
        "href=\"/web/audit?action=cancel\"><b>cancel</b></a>",
        "href=\"/web/task/00000000000007\"><code>POST /web/task/00000000000007</code>",
        "<code data-copy>note=&#60;b&#62;</code>",
        "name=\"who\" value=\"bob\"",
        "name=\"action\" value=\"acknowledge\"",
        "href=\"/web/audit?cursor=6\" rel=\"next\"",
        "/api/v1/audit?date=2026-03-02",
        "303",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    assert!(!page.contains("Clear all"));
    assert_strict(&page);
}

#[actix::test]
async fn filters_are_addresses_and_stay_in_every_link() {
    let stub = stub();
    stub.changes(|asked| {
        assert_eq!((asked.who, asked.actions), (vec!["ann".to_owned(), "bob".to_owned()], vec![AuditAction::Rerun]));
        assert_eq!((asked.from, asked.limit), (noon() - TimeDelta::hours(36), 100));
        let changes = vec![change(3, "bob", "POST /rerun", AuditAction::Rerun)];
        Ok(AuditRecordPage { changes, next: Some(2), looked_until: Some(noon()) })
    });
    let page = stub.get("/web/audit?date=2026-03-01&who=ann,bob&action=rerun").await.text;
    for part in [
        "Who: ann, bob",
        "What: rerun",
        "value=\"bob\" checked",
        "href=\"/web/audit?date=2026-03-01&#38;who=ann,bob&#38;action=rerun&#38;cursor=2\"",
        "href=\"/web/audit?date=2026-03-01\">Clear all</a>",
        "/api/v1/audit?date=2026-03-01&#38;who=ann,bob&#38;action=rerun",
        "name=\"date\" value=\"2026-03-01\"",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    assert_eq!(stub.get("/web/audit?action=dance").await.problem().0, 400);
}

#[actix::test]
async fn a_day_without_changes_says_so_and_leads_to_the_last_one() {
    let stub = stub();
    stub.changes(|_| Ok(AuditRecordPage::default()));
    let page = stub.get("/web/audit").await.text;
    assert!(page.contains("Nobody changed anything today yet.</p>"), "{page}");
    stub.changes(|asked| {
        let earlier = asked.to <= noon() - TimeDelta::hours(12);
        let mut page = AuditRecordPage::default();
        if earlier {
            assert_eq!((asked.limit, asked.actions), (1, vec![AuditAction::Pause]));
            let mut last = change(1, "ann", "POST /api/v1/phases/pause", AuditAction::Pause);
            last.change.at = noon() - TimeDelta::days(3);
            page.changes.push(last);
        }
        Ok(page)
    });
    let page = stub.get("/web/audit?action=pause").await.text;
    assert!(page.contains("No change of this day matches the filter."), "{page}");
    let link = "href=\"/web/audit?action=pause&#38;date=2026-02-27\">Friday, 27 February 2026</a>";
    assert!(page.contains(link), "{page}");
    stub.changes(|_| Ok(AuditRecordPage { next: Some(4), looked_until: Some(noon()), ..AuditRecordPage::default() }));
    let page = stub.get("/web/audit?who=eve").await.text;
    assert!(page.contains("Searched back to") && page.contains("cursor=4"), "{page}");
    stub.changes(|_| Err(Error::new(Code::Storage, "no disk")));
    let page = stub.get("/web/audit").await.text;
    assert!(page.contains("the changes can&#39;t be shown now: no disk"), "{page}");
}

#[actix::test]
async fn only_admins_are_led_there_and_others_are_told_on_a_page() {
    for role in [Role::Viewer, Role::Operator, Role::Admin] {
        let (stub, context) = closed();
        stub.changes(|_| Ok(AuditRecordPage::default()));
        let get = |path| {
            let asked = request(Method::GET, path).insert_header(("accept", "text/html"));
            send(context.clone(), with(asked, role.as_str()))
        };
        let is_admin = role == Role::Admin;
        assert_eq!(get("/web/files").await.text.contains("href=\"/web/audit\""), is_admin, "{role}");
        let page = get("/web/audit").await;
        assert_eq!(page.status, if is_admin { 200 } else { 403 }, "{role}");
        let told = page.text.contains("needs the role admin") && page.text.contains("href=\"/web/task\"");
        assert_eq!(told, !is_admin, "{role}: {}", page.text);
    }
}
