"""Tasks: found, sorted, paged, opened, seen as they change; alerts and files beside them."""

import re

from playwright.sync_api import expect


def test_tasks_are_filtered_and_searched_by_addresses_that_can_be_shared(person):
    page = person.open("/web/task?type=bulk")
    rows = page.locator("#list tbody tr")
    expect(rows).to_have_count(100)
    page.locator("#totals .figure.error").click()
    expect(page).to_have_url(re.compile("result=error"))
    expect(rows.first.locator(".pill")).to_have_text("error")
    assert set(rows.locator(".pill").all_inner_texts()) == {"error"}
    person.shoot("tasks-errors")
    page = person.open("/web/task")
    search = page.get_by_role("searchbox")
    search.fill("number=42 type:bulk")
    search.press("Enter")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("042.csv")
    other = person.browser.new_context(base_url=person.service.url).new_page()
    other.goto(page.url)
    expect(other.locator("#list tbody tr")).to_have_count(1)
    other.context.close()


def test_a_long_list_is_paged_and_sorted_by_the_server(person):
    page = person.open("/web/task?type=bulk")
    rows = page.locator("#list tbody tr")
    first = rows.first.get_attribute("id")
    page.get_by_role("link", name="Next page").click()
    expect(rows).to_have_count(30)
    assert rows.first.get_attribute("id") != first
    page.get_by_role("link", name="First page").click()
    expect(rows).to_have_count(100)
    assert rows.first.get_attribute("id") == first
    page.locator("#list thead").get_by_role("link", name="Info").click()
    expect(page.locator("#list th[aria-sort]")).to_have_text("Info")
    # The heads are there before the last rows.
    expect(rows).to_have_count(100)
    infos = page.locator("#list td[data-label=Info]").all_inner_texts()
    assert infos in (sorted(infos), sorted(infos, reverse=True)) and len(infos) == 100


def test_a_task_shows_what_followed_from_it(person):
    uid = person.service.first["task"]["uid"]
    page = person.open(f"/web/task/{uid}")
    task = page.locator("#task")
    expect(task.get_by_role("heading", level=1)).to_have_text("extract:orders")
    for text in ["1200 rows", "rows", "load:orders", "publish:orders", "Lineage", "browser-test"]:
        expect(task).to_contain_text(text)
    person.shoot("task")
    task.locator(".chain table a", has_text="load:orders").click()
    expect(task.get_by_role("heading", level=1)).to_have_text("load:orders")


def test_what_happens_is_seen_without_loading_the_page_again(person):
    page = person.open("/web/task?type=lively")
    expect(page.locator("#list")).to_contain_text("No task")
    page.evaluate("window.stayed = true")
    expect(page.locator(".connection")).to_have_text("live", timeout=15_000)
    person.service.create(("lively", "seen at once"))
    rows = page.locator("#list tbody tr")
    expect(rows).to_have_count(1, timeout=15_000)
    expect(rows.first.locator(".pill")).to_have_text("ready")
    leased = person.service.lease("lively")[0]
    expect(rows.first.locator(".pill")).to_have_text("running", timeout=15_000)
    person.service.end(leased, "complete", "done and seen")
    expect(rows.first).to_contain_text("done and seen", timeout=15_000)
    assert page.evaluate("window.stayed"), "the page was loaded again"


def test_alerts_and_files_of_the_day(person):
    page = person.open("/web/alert")
    expect(page.locator("#alerts")).to_contain_text("row count fell by 80 %")
    person.shoot("alerts")
    page = person.open("/web/files")
    expect(page.locator("#files tbody tr", has_text="/landing/a.csv")).to_contain_text("import")
    expect(page.locator("#files tbody tr", has_text="/elsewhere/b.txt")).to_contain_text("No matching patterns found")
    person.shoot("files")


def test_everything_is_reached_with_the_keyboard(person):
    page = person.open("/")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the content")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("g")
    page.keyboard.press("t")
    expect(page).to_have_url(re.compile("/web/task"))
    # The address is new before the scripts listen.
    page.wait_for_load_state()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("type:bulk")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("q=type"))
    page.wait_for_load_state()
    page.locator("#main").focus()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/web/task/0"))
    page.wait_for_load_state()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
