"""What people do by a click, by the keyboard alone, and without scripts: run again, cancel, take care, silence, pause."""

import re

from playwright.sync_api import expect


def created(service, topic, count=1):
    """Tasks of a topic; their uids."""
    service.create(*[(topic, f"number {number}") for number in range(count)])
    return [task["uid"] for task in service.get(f"/api/v1/tasks?type={topic}")["items"]]


def failed(service, topic, count=1):
    """Tasks of a topic that failed; their uids."""
    uids = created(service, topic, count)
    for leased in service.lease(topic, count):
        service.end(leased, "error", "disk full")
    return uids


def ready(service, topic):
    return len(service.get(f"/api/v1/tasks?type={topic}&state=ready")["items"])


def incident(service, topic):
    """An incident of the route of that name."""
    failed(service, topic)
    service.until("the incident is open", lambda: [
        open_ for open_ in service.get("/api/v1/incidents")["items"]
        if open_["route"] == topic and open_.get("closed") is None
    ])


def notice(page):
    return page.locator("main > .notice")


def test_one_task_is_run_again_from_the_list(person):
    failed(person.service, "again-one", 2)
    page = person.open("/web/task?type=again-one&result=error")
    run = page.get_by_role("button", name="Rerun")
    expect(run).to_be_hidden()
    page.locator("#list tbody [data-row]").first.check()
    expect(run).to_have_text("Rerun 1")
    run.click()
    expect(notice(page)).to_have_text("1 task was rerun.")
    expect(page).to_have_url(re.compile("type=again-one&result=error$"))
    assert ready(person.service, "again-one") == 1


def test_many_tasks_are_run_again_from_the_list(person):
    failed(person.service, "again-many", 3)
    page = person.open("/web/task?type=again-many")
    page.get_by_label("Select all").check()
    expect(page.locator("#list tbody tr.chosen")).to_have_count(3)
    page.locator("#list tbody [data-row]").last.uncheck()
    expect(page.locator("[data-count]")).to_have_text("2")
    page.get_by_label("Select all").check()
    person.shoot("tasks-ticked")
    page.get_by_role("button", name="Rerun").click()
    expect(notice(page)).to_have_text("3 tasks were rerun.")
    assert ready(person.service, "again-many") == 3
    # Those that were tried again since are told with the reason, and nothing runs twice.
    page.goto("/web/task?type=again-many&result=error")
    page.get_by_label("Select all").check()
    page.get_by_role("button", name="Rerun").click()
    expect(notice(page)).to_contain_text("0 tasks were rerun, 3 could not be. The first:")
    assert ready(person.service, "again-many") == 3


def test_a_task_is_run_again_from_its_own_page(person):
    uid = failed(person.service, "again-detail")[0]
    page = person.open(f"/web/task/{uid}")
    page.get_by_role("button", name="Rerun").click()
    expect(notice(page)).to_contain_text("Rerun as task")
    rows = page.locator(".chain table tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.last.locator(".pill")).to_have_text("ready")
    # The new attempt is drawn, and leads to itself.
    page.get_by_role("group", name="Lineage").get_by_role("link").last.click()
    expect(page).not_to_have_url(re.compile(uid))
    expect(page.locator("#task .pill").first).to_have_text("ready")


def test_a_task_is_cancelled_from_its_own_page(person):
    uid = created(person.service, "cancel-detail")[0]
    page = person.open(f"/web/task/{uid}")
    page.get_by_label("Note").fill("the source is wrong")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Cancel").click()
    assert person.service.get(f"/api/v1/tasks/{uid}")["state"] == "ready", "no means no"
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel").click()
    expect(notice(page)).to_have_text("The task is cancelled.")
    expect(page.locator("#task")).to_contain_text("the source is wrong")
    expect(page.locator("#task .pill").first).to_have_text("warn")
    # A task at work ends when its worker hears of it.
    uid = created(person.service, "cancel-leased")[0]
    leased = person.service.lease("cancel-leased")[0]
    page.goto(f"/web/task/{uid}")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#task")).to_contain_text("its worker will be told to stop at its next heartbeat")
    assert person.service.post(f"/api/v1/lease/{leased['lease']}/heartbeat", {})["cancel"] is True


def test_an_incident_is_taken_care_of(person):
    incident(person.service, "by-click")
    page = person.open("/web/alert")
    route = page.locator("#routes .route", has_text="Route by-click")
    expect(route).to_contain_text("incident")
    person.shoot("alerts-incident")
    route.get_by_label("Note").fill("the disk is replaced")
    route.get_by_label("For").select_option("12h")
    route.get_by_role("button", name="Acknowledge").click()
    expect(notice(page)).to_contain_text("Acknowledged by")
    expect(route).to_contain_text("Acknowledged by")
    expect(route.get_by_role("button", name="Acknowledge")).to_have_count(0)


def test_alerts_are_silenced_and_told_again(person):
    page = person.open("/web/alert")
    silences = page.locator("#silences")
    silences.get_by_text("New silence").click()
    silences.get_by_label("Type").fill("noisy-*")
    silences.get_by_label("Reason").fill("being rebuilt")
    silences.get_by_role("button", name="Silence").click()
    row = silences.locator("tbody tr", has_text="noisy-*")
    expect(row).to_contain_text("being rebuilt")
    expect(notice(page)).to_contain_text("No notifications for")
    person.shoot("alerts-silence")
    row.get_by_role("button", name="End the silence").click()
    expect(row).to_have_count(0)
    expect(notice(page)).to_contain_text("are sent again")


def test_the_trail_says_who_did_it_and_filters_by_links(person):
    uid = failed(person.service, "again-trail")[0]
    person.open(f"/web/task/{uid}").get_by_role("button", name="Rerun").click()
    expect(notice(person.page)).to_be_visible()
    person.page.locator("nav.pages").get_by_role("link", name="Audit").click()
    page = person.page
    row = page.locator("#changes tbody tr", has_text=uid)
    expect(row).to_contain_text("rerun")
    expect(row).to_contain_text("127.0.0.1")
    expect(row).to_contain_text("just now")
    row.get_by_role("link", name="rerun", exact=True).click()
    expect(page).to_have_url(re.compile("action=rerun"))
    assert set(page.locator("#changes tbody td[data-label=What] b").all_inner_texts()) == {"rerun"}
    person.shoot("audit-rerun")
    page.get_by_role("link", name="Clear all").click()
    page.get_by_text("What", exact=True).first.click()
    page.get_by_label("snapshot").check()
    page.get_by_role("button", name="Apply").last.click()
    expect(page.locator("#changes")).to_contain_text("No change of this day matches the filter.")


# By the keyboard alone: no click, no focus but where Tab leads.


def tab_to(page, wanted, key="Tab", most=80):
    """Goes on with Tab until that is focused."""
    for _ in range(most):
        page.keyboard.press(key)
        if wanted.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"{wanted} isn't reached with {key}")


def test_tasks_are_run_again_with_the_keyboard_alone(person):
    failed(person.service, "again-keys", 3)
    page = person.open("/web/task?type=again-keys")
    for key in ["j", "x", "j", "x"]:
        page.keyboard.press(key)
    run = page.get_by_role("button", name="Rerun")
    expect(run).to_have_text("Rerun 2")
    tab_to(page, run, "Shift+Tab")
    page.keyboard.press("Enter")
    expect(notice(page)).to_have_text("2 tasks were rerun.")
    assert ready(person.service, "again-keys") == 2


def test_one_task_is_run_again_and_cancelled_with_the_keyboard_alone(person):
    uid = failed(person.service, "detail-keys")[0]
    page = person.open(f"/web/task/{uid}")
    tab_to(page, page.get_by_role("button", name="Rerun"))
    page.keyboard.press("Space")
    expect(notice(page)).to_contain_text("Rerun as task")
    again = person.service.get("/api/v1/tasks?type=detail-keys&state=ready")["items"][0]["uid"]
    page.goto(f"/web/task/{again}")
    tab_to(page, page.get_by_label("Note"))
    page.keyboard.type("not now")
    tab_to(page, page.get_by_role("button", name="Cancel"))
    page.once("dialog", lambda dialog: dialog.accept())
    page.keyboard.press("Enter")
    expect(notice(page)).to_have_text("The task is cancelled.")


def test_alerts_are_taken_care_of_and_silenced_with_the_keyboard_alone(person):
    incident(person.service, "by-keys")
    page = person.open("/web/alert")
    route = page.locator("#routes .route", has_text="Route by-keys")
    tab_to(page, route.get_by_label("Note"))
    page.keyboard.type("looking")
    page.keyboard.press("Enter")
    expect(route).to_contain_text("Acknowledged by")
    silences = page.locator("#silences")
    tab_to(page, silences.locator("summary"))
    page.keyboard.press("Enter")
    tab_to(page, silences.get_by_label("Type"))
    page.keyboard.type("keys-*")
    tab_to(page, silences.get_by_label("Reason"))
    page.keyboard.type("by hand")
    page.keyboard.press("Enter")
    row = silences.locator("tbody tr", has_text="keys-*")
    expect(row).to_contain_text("by hand")
    tab_to(page, row.get_by_role("button", name="End the silence"))
    page.keyboard.press("Enter")
    expect(row).to_have_count(0)


def test_a_phase_is_paused_and_goes_on_with_the_keyboard_alone(person):
    page = person.open("/web/workflow?file=nightly.toml&task=wide")
    row = page.locator("table.phases tbody tr", has_text="wide")
    tab_to(page, row.get_by_role("button", name="Pause wide"))
    page.keyboard.press("Enter")
    expect(row).to_contain_text("paused")
    tab_to(page, row.get_by_role("button", name="Resume phase wide"))
    page.keyboard.press("Enter")
    expect(row.get_by_role("button", name="Pause wide")).to_be_visible()


def test_copy_buttons_stay_after_an_update(person):
    uid = created(person.service, "copied")[0]
    page = person.open(f"/web/task/{uid}")
    copies = page.locator("#task button[data-copies]:visible")
    before = copies.count()
    assert before >= 3
    expect(page.locator(".connection")).to_have_text("live")
    leased = person.service.lease("copied")[0]
    expect(page.locator("#task .head .pill")).to_have_text("running")
    assert copies.count() == before
    person.service.end(leased, "error", "no room")
    expect(page.locator("#task .head .pill")).to_have_text("error")
    assert copies.count() == before + 1, "the message has one, too"


def test_tasks_that_match_are_cancelled_together_after_they_were_shown(person):
    created(person.service, "cancel-together", 3)
    page = person.open("/web/task?type=cancel-together")
    page.get_by_role("link", name="cancel them together").click()
    expect(page.locator("#cancel h2")).to_contain_text("3 tasks without a result")
    assert ready(person.service, "cancel-together") == 3, "nothing is cancelled yet"
    person.shoot("cancel")
    # What comes after the page was opened wasn't shown.
    created(person.service, "cancel-together")
    page.get_by_label("Note").fill("the source is wrong")
    page.get_by_role("button", name="Cancel 3 tasks").click()
    expect(notice(page)).to_have_text("3 tasks were cancelled.")
    assert ready(person.service, "cancel-together") == 1
    expect(page.locator("#list")).to_contain_text("cancelled: the source is wrong")


def test_a_task_is_rerun_without_its_children(person):
    uid = failed(person.service, "again-alone")[0]
    page = person.open(f"/web/task/{uid}")
    page.get_by_label("Children that start").select_option("false")
    page.get_by_role("button", name="Rerun").click()
    expect(notice(page)).to_contain_text("Rerun as task")
    again = person.service.get("/api/v1/tasks?type=again-alone&state=ready")["items"][0]
    assert "rerun=alone" in again["meta"], again


def test_a_phase_is_run_now_with_its_meta(person):
    page = person.open("/web/workflow?file=nightly.toml&task=wide")
    row = page.locator("table.phases tbody tr", has_text="wide")
    row.get_by_text("Run, details").click()
    row.get_by_label("text", exact=True).fill("by hand")
    person.shoot("workflow-run")
    row.get_by_role("button", name="Run wide:rows now").click()
    expect(notice(page)).to_contain_text("1 task started")
    task = person.service.get("/api/v1/tasks?type=wide&state=ready")["items"][0]
    assert "by hand" in task["info"], task


# Without scripts.


def test_without_scripts_tasks_are_run_again_and_cancelled(person):
    uid = failed(person.service, "again-plain", 3)[0]
    page = person.with_screen(scripts=False).open("/web/task?type=again-plain")
    for row in page.locator("#list tbody [data-row]").all()[1:]:
        row.check()
    page.get_by_role("button", name="Rerun").click()
    expect(notice(page)).to_have_text("2 tasks were rerun.")
    page.get_by_role("button", name="Rerun").click()
    expect(notice(page)).to_contain_text("no task is selected")
    page = person.open(f"/web/task/{uid}")
    page.get_by_role("button", name="Rerun").click()
    expect(notice(page)).to_contain_text("Rerun as task")
    assert ready(person.service, "again-plain") == 3
    page.locator(".chain table tbody tr").last.get_by_role("link").click()
    page.get_by_role("button", name="Cancel").click()
    expect(notice(page)).to_have_text("The task is cancelled.")


def test_without_scripts_alerts_are_taken_care_of_and_silenced(person):
    incident(person.service, "by-plain")
    page = person.with_screen(scripts=False).open("/web/alert")
    route = page.locator("#routes .route", has_text="Route by-plain")
    route.get_by_role("button", name="Acknowledge").click()
    expect(route).to_contain_text("Acknowledged by")
    silences = page.locator("#silences")
    silences.get_by_text("New silence").click()
    silences.get_by_label("Type").fill("plain-*")
    silences.get_by_label("Reason").fill("no scripts")
    silences.get_by_role("button", name="Silence").click()
    row = silences.locator("tbody tr", has_text="plain-*")
    expect(row).to_contain_text("no scripts")
    row.get_by_role("button", name="End the silence").click()
    expect(row).to_have_count(0)


def test_without_scripts_the_trail_is_filtered(person):
    page = person.with_screen(scripts=False).open("/web/audit?action=notify")
    expect(page.locator("#changes")).to_contain_text("No change of this day matches the filter.")
    page.locator("#choice-action summary").click()
    page.get_by_label("notify").uncheck()
    page.get_by_label("rerun").check()
    page.locator("#choice-action").get_by_role("button", name="Apply").click()
    expect(page).to_have_url(re.compile(r"\?action=rerun$"))
