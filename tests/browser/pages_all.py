"""What holds for every page: dark and light, narrow and wide, with and without scripts, and for everybody."""

from playwright.sync_api import expect

# What a page and all that it needs may weigh, compressed.
MOST_KB = 150

PAGES = {
    "overview": "/",
    "tasks": "/web/task",
    "cancel": "/web/task-cancel?type=bulk",
    "alerts": "/web/alert",
    "files": "/web/files",
    "workflow": "/web/workflow",
    "workflow-file": "/web/workflow?file=orders.toml",
    "gantt": "/web/workflow/gantt",
    "backload": "/web/backload?task=report:daily&from=2026-01-01&to=2026-01-09&preview=1",
    "audit": "/web/audit",
    "about": "/web/about",
}


def pages(person):
    """All of them, with a task that has a chain."""
    return [*PAGES.items(), ("task", f"/web/task/{person.service.first['task']['uid']}")]


def test_no_page_keeps_anybody_out_or_sticks_out(person):
    wrong = []
    for width, dark in ((1400, False), (400, True)):
        person.with_screen(width=width, dark=dark)
        for name, path in pages(person):
            person.open(path)
            what = f"{name}-{width}-{'dark' if dark else 'light'}"
            person.shoot(what)
            wrong += [*person.sticks_out(what), *person.barriers(what)]
    assert not wrong, "\n".join(wrong)


def test_no_first_visit_weighs_much(person):
    weigh = "performance.getEntries().reduce((bytes, entry) => bytes + (entry.transferSize || 0), 0)"
    weights = {}
    for name, path in pages(person):
        # Each in a browser that has nothing yet.
        person.with_screen().open(path)
        weights[name] = person.page.evaluate(weigh) / 1000
    print("    kB on the wire: " + ", ".join(f"{name} {weight:.0f}" for name, weight in weights.items()))
    assert all(10 < weight < MOST_KB for weight in weights.values()), weights


def test_dark_is_dark(person):
    person.with_screen(dark=True).open("/web/workflow")
    ground = person.page.evaluate("getComputedStyle(document.body).backgroundColor")
    red, green, blue = (int(part) for part in ground[4:-1].split(","))
    assert max(red, green, blue) < 60, ground


def test_without_scripts_everything_works(person):
    person.with_screen(scripts=False)
    for name, path in pages(person):
        page = person.open(path)
        assert page.locator("main h1").count() == 1, name
    page = person.open("/web/backload?task=report:daily")
    page.get_by_label("From", exact=True).fill("2026-02-01")
    page.get_by_label("Hour of From").select_option("00")
    page.get_by_label("To", exact=True).fill("2026-02-03")
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Create 3 tasks").click()
    expect(page.locator("#one .outcome")).to_have_text("3/3 tasks created; 0 ended")
    page = person.open("/web/workflow")
    page.get_by_label("File", exact=True).select_option("nightly.toml")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#days")).to_contain_text("report:daily")
    page.get_by_role("button", name="Pause report:daily").click()
    expect(page.locator("table.phases")).to_contain_text("paused")
    page.get_by_role("button", name="Resume phase report:daily").click()
    expect(page.get_by_role("button", name="Pause report:daily")).to_be_visible()
