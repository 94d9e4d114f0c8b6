"""Every page at five widths: no text overlaps another, leaves its box or the screen, or is cut where nobody can read on."""

import pathlib
import urllib.parse

import harness
import long_names
import service

WIDTHS = [400, 768, 1024, 1400, 1920]
GEOMETRY = (pathlib.Path(__file__).parent / "geometry.js").read_text()

EMPTY_PAGES = {
    "overview": "/",
    "tasks": "/web/task?date=2020-01-01",
    "alerts": "/web/alert",
    "files": "/web/files",
    "workflow": "/web/workflow",
    "gantt": "/web/workflow/gantt",
    "backload": "/web/backload",
    "workers": "/web/workers",
    "audit": "/web/audit",
    "about": "/web/about",
    "login": "/login",
    "docs": "/api/docs",
    "errors": "/api/docs/errors",
}


def long_pages(uid):
    """Pages of the service with long names."""
    of = lambda path, **query: f"{path}?{urllib.parse.urlencode(query)}"
    name = f"{long_names.TOPIC}:{long_names.JOB}"
    return {
        "overview": "/",
        "tasks": "/web/task",
        "tasks-filtered": of("/web/task", type=long_names.TOPIC, job=long_names.JOB, q=long_names.UNBROKEN[:300]),
        "cancel": of("/web/task-cancel", type=long_names.TOPIC, job=long_names.JOB),
        "task": f"/web/task/{uid}",
        "alerts": "/web/alert",
        "alerts-filtered": of("/web/alert", type=long_names.UNKNOWN, job=long_names.JOB),
        "files": "/web/files",
        "workflow": "/web/workflow",
        "gantt": "/web/workflow/gantt",
        "gantt-file": of("/web/workflow/gantt", file=long_names.FILE),
        "workflow-filtered": of("/web/workflow", task=long_names.TOPIC, job=long_names.JOB),
        "workflow-file": of("/web/workflow", file=long_names.FILE, phase=name),
        "workflow-many": of("/web/workflow", file="many.toml", phase="load:table_01_of_the_warehouse"),
        "backload": of("/web/backload", task="rows", preview=1, **{"from": "2026-01-01", "to": "2026-01-09"}),
        "backload-refused": of("/web/backload", task=f"{name}x", preview=1, **{"from": "2026-01-01", "to": "2026-01-02"}),
        "backload-one": "/web/backload?id=1",
        "workers": "/web/workers",
        "audit": "/web/audit",
        "about": "/web/about",
        "missing": of("/web/task/nothing-of-this-name", q=long_names.UNBROKEN[:200]),
    }


def usual_pages(uid):
    """Pages of the service that the other tests use."""
    slot = "/web/workflow?file=orders.toml&phase=extract:orders"
    return {
        "overview": "/",
        "tasks": "/web/task",
        "cancel": "/web/task-cancel?type=bulk",
        "task": f"/web/task/{uid}",
        "alerts": "/web/alert",
        "files": "/web/files",
        "workflow": "/web/workflow",
        "workflow-file": slot,
        "gantt": "/web/workflow/gantt",
        "gantt-file": "/web/workflow/gantt?file=orders.toml",
        "backload": "/web/backload?task=report:daily&from=2026-01-01&to=2026-01-09&preview=1",
        "workers": "/web/workers",
        "audit": "/web/audit",
        "about": "/web/about",
    }


def faults(page):
    """What is wrong with the layout of a page, as it was opened and with each of its parts unfolded."""
    page.evaluate("document.querySelectorAll('.scroll').forEach((part) => (part.scrollLeft = 0))")
    found = page.evaluate(GEOMETRY)
    # A menu at a time, since each covers what is below; then all else that unfolds.
    for menu in page.query_selector_all("details.choice, details.calendar"):
        menu.evaluate("(menu) => (menu.open = true)")
        found += page.evaluate(GEOMETRY, menu)
        menu.evaluate("(menu) => (menu.open = false)")
    closed = page.evaluate_handle("[...document.querySelectorAll('details:not(.choice, .calendar, [open])')]")
    closed.evaluate("(parts) => parts.forEach((part) => (part.open = true))")
    found += page.evaluate(GEOMETRY)
    closed.evaluate("(parts) => parts.forEach((part) => (part.open = false))")
    return sorted(set(found))


def check_all(person, name, pages):
    wrong = []
    person.with_screen()
    for of, path in pages.items():
        person.page.goto(path)
        for width in WIDTHS:
            person.page.set_viewport_size({"width": width, "height": 900})
            found = faults(person.page)
            if found:
                person.shoot(f"layout-{name}-{of}-{width}")
            wrong += [f"{name}-{of} at {width} px: {fault}" for fault in found]
    assert not wrong, f"{len(wrong)} faults\n" + "\n".join(wrong)


def with_service(person, check, *files):
    """Checks pages of a service of its own."""
    served = service.Service(person.service.program, *files)
    visitor = harness.Person(person.browser, served, person.shots)
    try:
        check(visitor)
        visitor.close()
    finally:
        served.close()


def test_text_fits_on_the_pages_of_a_usual_day(person):
    check_all(person, "usual", usual_pages(person.service.first["task"]["uid"]))


def test_text_fits_on_pages_with_the_longest_names(person):
    check = lambda visitor: check_all(visitor, "long", long_pages(long_names.seed(visitor.service)))
    with_service(person, check, long_names.WORKFLOWS, long_names.config)


def test_text_fits_on_pages_without_anything_to_show(person):
    with_service(person, lambda visitor: check_all(visitor, "empty", EMPTY_PAGES), {}, lambda hook: "")


# Each is what the pages did once, or could do.
FAULTY = {
    "the page is": "<div style='width:2000px'>wide</div>",
    "leaves the viewport": "<div style='position:absolute;left:-90px'>half of it is to the left</div>",
    "leaves td": "<table style='width:200px;table-layout:fixed'><tr><td>extract:orders_of_the_day</td><td>Starts</td></tr></table>",
    "overlaps": "<table style='width:200px;table-layout:fixed'><tr><td>extract:orders_of_the_day</td><td>Starts</td></tr></table>",
    "cut without a sign": "<div style='width:60px;overflow:hidden;white-space:nowrap'>the rest can't be seen</div>",
    "cut with no way to read it":
        "<div style='width:60px;overflow:hidden;white-space:nowrap;text-overflow:ellipsis'>the rest can't be seen</div>",
    "leaves its box of the drawing":
        "<svg width=300 height=40><g><rect width=60 height=30 /><text y=20>longer than its box</text></g></svg>",
    "a short word is broken": "<div style='width:30px;overflow-wrap:anywhere'>aggregate</div>",
    "px of a column are unused":
        "<table style='width:600px;table-layout:fixed'><thead><tr><th style='width:500px'>Retry</th><th>Starts</th></tr></thead>"
        "<tbody><tr><td>0</td><td>every day at noon</td></tr></tbody></table>",
}


def test_the_check_finds_each_fault(person):
    page = person.with_screen(width=800).page
    for fault, body in FAULTY.items():
        page.set_content(f"<body style='margin:20px'>{body}")
        found = page.evaluate(GEOMETRY)
        assert any(fault in line for line in found), f"{fault}: {found}"
    page.set_content("<body><table><tr><td>a</td><td>b</td></tr></table><p title='all'>well")
    assert page.evaluate(GEOMETRY) == []
