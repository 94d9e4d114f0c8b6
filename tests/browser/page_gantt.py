"""The Gantt of a day: bars lead to tasks, by mouse and by keyboard, of a file and of an hour."""

from playwright.sync_api import expect


def row(page, name):
    return page.locator("table.gantt tbody tr", has_text=name)


def test_bars_lead_to_their_tasks_and_filters_narrow_them(person):
    uid = person.service.first["task"]["uid"]
    page = person.open("/web/workflow")
    page.get_by_role("navigation", name="Views").get_by_role("link", name="Gantt").click()
    person.open("/web/workflow/gantt?task=bulk")
    assert row(page, "bulk").locator("svg a").count() >= 130
    person.shoot("gantt-bulk")
    person.open("/web/workflow/gantt")
    page.get_by_label("File", exact=True).select_option("orders.toml")
    expect(row(page, "bulk")).to_have_count(0)
    expect(row(page, "publish:orders")).to_contain_text("task")
    person.shoot("gantt-file")
    bar = page.locator(f"table.gantt a[href='/web/task/{uid}']")
    expect(bar.locator("title")).to_have_text(_matching("complete, created .*, queue time .*, run time .*"))
    box = bar.locator("rect").last.bounding_box()
    assert box["width"] >= 1, f"a short task is seen, too: {box}"
    # Others of the same moment may lie over it.
    bar.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(_matching(f"/web/task/{uid}$"))


def test_an_hour_is_chosen_and_left(person):
    page = person.open("/web/workflow/gantt")
    assert page.locator("path.now").count() == page.locator("table.gantt tbody tr").count()
    page.get_by_role("link", name=_matching("^Only ")).nth(page.evaluate("new Date().getUTCHours()")).click()
    expect(page).to_have_url(_matching(r"hour=\d+$"))
    expect(row(page, "extract:orders")).to_be_visible()
    person.shoot("gantt-hour")
    page.get_by_role("link", name=_matching("^Remove filter: ")).click()
    expect(page).to_have_url(_matching("/web/workflow/gantt$"))


def test_bars_are_walked_with_the_keyboard(person):
    page = person.open("/web/workflow/gantt")
    stops = page.locator("table.gantt td a[tabindex='0']")
    expect(stops).to_have_count(1)
    stops.focus()
    of_row = "document.activeElement.closest('tr').rowIndex"
    before = page.evaluate(of_row)
    page.keyboard.press("ArrowUp")
    assert page.evaluate(of_row) == before - 1
    page.keyboard.press("ArrowDown")
    assert page.evaluate(of_row) == before
    page.keyboard.press("Enter")
    expect(page).to_have_url(_matching("/web/task/"))


def test_a_new_task_is_drawn_by_itself(person):
    page = person.open("/web/workflow/gantt?task=bulk")
    bars = page.locator("table.gantt svg a")
    before = bars.count()
    person.service.create(("bulk", "one more"))
    expect(bars).to_have_count(before + 1)
    rest = person.service.lease("bulk", 1)
    person.service.end(rest[0])


def _matching(pattern):
    import re

    return re.compile(pattern)
