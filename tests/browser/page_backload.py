"""The backload page: filled in, looked at, carried out, watched."""

from playwright.sync_api import expect


def test_a_backload_is_looked_at_and_then_carried_out(person):
    page = person.open("/web/backload")
    page.get_by_label("Task", exact=True).fill("report:daily")
    page.get_by_label("Task", exact=True).press("Tab")
    expect(page.locator("#found")).to_contain_text("every day at 02:30, for the day before")
    page.get_by_label("From", exact=True).fill("2026-01-01")
    page.get_by_label("To", exact=True).fill("2026-01-31")
    page.get_by_role("button", name="Preview").click()
    preview = page.locator("#preview")
    expect(preview.get_by_role("heading", name="31 tasks")).to_be_visible()
    expect(preview.locator("table.planned tbody tr")).to_have_count(31)
    expect(preview).to_contain_text("?day=2026-01-31")
    preview.get_by_text("The same request over REST").click()
    expect(preview.locator("pre")).to_contain_text('"to": "2026-01-31"')
    person.shoot("backload-preview")
    assert person.service.get("/api/v1/tasks?type=report")["items"] == [], "nothing was created yet"
    page.once("dialog", lambda dialog: dialog.accept())
    preview.get_by_role("button", name="Create 31 tasks").click()
    expect(page.locator("#one .outcome")).to_have_text("31/31 tasks created; 0 ended")
    assert len(person.service.get("/api/v1/tasks?type=report")["items"]) == 31
    person.shoot("backload-done")


def test_saying_no_creates_nothing(person):
    page = person.open("/web/backload?task=report:daily&at=2026-03-01&when=at&preview=1")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Create 1 task").click()
    expect(page.locator("#one")).to_have_count(0)


def test_what_could_not_be_created_is_told_with_its_reason(person):
    page = person.open("/web/backload")
    page.get_by_label("Task", exact=True).fill("wide:rows")
    page.get_by_label("Task", exact=True).press("Tab")
    page.get_by_label("text", exact=True).fill(f"short,{'x' * 6_000},brief,small,tiny")
    page.get_by_label("From", exact=True).fill("2026-01-01")
    page.get_by_label("To", exact=True).fill("2026-01-10")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview")).to_contain_text("10 can't be created")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Create 50 tasks").click()
    one = page.locator("#one")
    expect(one.locator(".outcome")).to_contain_text("40/50 tasks created, 10 failed")
    expect(one.locator("table.failures tbody tr")).to_have_count(10)
    expect(one.locator("table.failures")).to_contain_text("at most 1048576 are allowed")
    expect(page.locator("#earlier tbody tr").first).to_contain_text("40/50 tasks created, 10 failed")
    person.shoot("backload-partial")


def test_a_large_one_is_watched_paused_and_cancelled(person):
    page = person.open("/web/backload")
    page.get_by_label("Task", exact=True).fill("big")
    page.get_by_text("More: template").click()
    page.locator("#template").fill("?hour={yyyy}-{mm}-{dd}T{hh}")
    page.get_by_label("From", exact=True).fill("2010-01-01")
    page.get_by_label("To", exact=True).fill("2026-01-01")
    page.get_by_label("Every", exact=True).select_option("hour")
    page.get_by_role("button", name="Preview").click()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Create 140,257 tasks").click()
    one = page.locator("#one")
    # It fills its queue of 10,000 and waits for workers; the page tells it without being loaded again.
    expect(one.locator(".outcome")).to_contain_text("10,000/140,257 tasks created", timeout=60_000)
    one.get_by_role("button", name="Pause").click()
    expect(one.locator("h2")).to_contain_text("paused")
    one.get_by_role("button", name="Resume").click()
    expect(one.locator("h2")).to_contain_text("running")
    page.once("dialog", lambda dialog: dialog.accept())
    one.get_by_role("button", name="Cancel").click()
    expect(one.locator("h2")).to_contain_text("cancelled")


def test_a_rate_is_part_of_the_request(person):
    page = person.open("/web/backload?task=report:daily&from=2026-01-01&to=2026-01-02&rate=100/1m&preview=1")
    expect(page.get_by_label("Rate")).to_have_value("100/1m")
    page.locator("#preview").get_by_text("The same request over REST").click()
    expect(page.locator("#preview pre")).to_contain_text('"rate": "100/1m"')


def test_a_mistake_is_told_where_it_was_made(person):
    page = person.open("/web/backload?task=nobody&from=2026-01-01&to=2026-01-02&preview=1")
    expect(page.get_by_role("alert")).to_contain_text("no template found for nobody")
    expect(page.get_by_label("Task", exact=True)).to_have_value("nobody")
