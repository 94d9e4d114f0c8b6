"""The workflow page: files, the hours of their phases, the drawing, pausing."""

from playwright.sync_api import expect


def test_the_last_day_is_seen_at_once_and_leads_to_the_tasks_of_a_slot(person):
    page = person.open("/web/workflow")
    grid = page.get_by_role("region", name="Slots of the last 24 hours by phase")
    row = grid.get_by_role("row").filter(has_text="extract:orders")
    cells = row.get_by_role("link").filter(has_not_text="extract")
    expect(cells.last).to_have_attribute("aria-label", _contains("slots"))
    person.shoot("workflow")
    cells.last.click()
    expect(page.locator("#slot")).to_be_visible()
    expect(page.locator("#slot .lines li").first).to_contain_text(":")
    expect(page.locator("#slot table.tasks tbody tr").first).to_contain_text("extract:orders")
    person.shoot("workflow-slot")
    page.locator("#slot").get_by_role("link", name="Close").click()
    expect(page.locator("#slot")).to_have_count(0)


def test_a_file_has_its_drawing_its_days_and_its_table(person):
    page = person.open("/web/workflow")
    page.get_by_role("list", name="Workflow files").get_by_role("link", name="orders.toml").click()
    drawing = page.get_by_role("group", name="The phases of orders.toml")
    boxes = drawing.get_by_role("link")
    expect(boxes).to_have_count(4)
    places = [box.bounding_box() for box in boxes.all()]
    assert places[0]["x"] < places[1]["x"] < places[2]["x"] == places[3]["x"], "from left to right"
    assert places[2]["y"] != places[3]["y"]
    expect(page.get_by_text("every 2 seconds, for the hour before")).to_be_visible()
    expect(page.get_by_role("link", name="Source")).to_be_visible()
    person.shoot("workflow-file")
    drawing.get_by_role("link", name="load:orders").click()
    expect(page.locator("#days h2")).to_contain_text("load:orders")
    expect(page.locator("#days")).to_contain_text("1 task: 1 complete.")


def test_filters_and_problems_with_their_lines(person):
    page = person.open("/web/workflow")
    expect(page.locator("#problems")).to_contain_text("broken.toml:4:")
    page.get_by_label("Task", exact=True).select_option("report")
    expect(page.locator("table.phases tbody tr")).to_have_count(1)
    expect(page.locator("table.phases")).to_contain_text("every day at 02:30, for the day before")
    assert "task=report" in page.url
    page.get_by_role("link", name="Clear").click()
    assert page.locator("table.phases tbody tr").count() > 5


def test_a_phase_is_paused_and_goes_on(person):
    page = person.open("/web/workflow?file=nightly.toml")
    page.get_by_role("button", name="Pause report:daily").click()
    row = page.locator("table.phases tbody tr").filter(has_text="report:daily")
    expect(row).to_contain_text("paused")
    expect(page.locator("main > .notice")).to_contain_text("is paused")
    row.get_by_role("button", name="Resume phase report:daily").click()
    expect(row.get_by_role("button", name="Pause report:daily")).to_be_visible()
    expect(row).to_contain_text("ok")


def test_the_grid_is_walked_with_the_keyboard(person):
    page = person.open("/web/workflow?file=orders.toml")
    stops = page.locator("#days [data-grid] td a[tabindex='0']")
    expect(stops).to_have_count(1)
    stops.first.focus()
    before = page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.press("ArrowRight")
    after = page.evaluate("document.activeElement.getAttribute('aria-label')")
    # The hours to come are part of the grid, so there is something to the right but in the last hour of the day.
    assert after != before or "23:00" in before, after
    page.keyboard.press("Enter")
    expect(page.locator("#slot")).to_be_visible()


def _contains(text):
    import re

    return re.compile(re.escape(text))
