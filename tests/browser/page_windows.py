"""Several windows of one browser, which has six connections to a host; and the pages below a path of their host."""

from playwright.sync_api import expect

import harness
import service

PATH = "/web/task?type=windows"


def below_a_path(hook):
    return f'public_url = "http://127.0.0.1/tools/flow"\n{service.usual_config(hook)}'


def shows(windows, text):
    for window in windows:
        expect(window.locator("#list")).to_contain_text(text, timeout=30_000)


def are_live(windows):
    for window in windows:
        expect(window.locator(".connection")).to_have_text("live", timeout=30_000)


def test_eight_windows_load_and_are_live(person):
    windows = [person.open(PATH)]
    for _ in range(7):
        windows.append(person.another())
        assert windows[-1].goto(PATH).status == 200
    are_live(windows)
    person.service.create(("windows", "seen by all"))
    shows(windows, "seen by all")
    # The first one opened the connection, and the last one came to it: the others go on without them.
    windows.pop(0).close()
    windows.pop().close()
    person.service.create(("windows", "seen by the others"))
    shows(windows, "seen by the others")


def test_windows_with_other_pages_hear_what_they_show(person):
    tasks, files = person.open(PATH), person.another()
    are_live([tasks])
    files.goto("/web/files")
    are_live([files, tasks])
    person.service.post("/api/v1/files", {"path": "/landing/windows.csv", "size": 10, "checksum": "w"})
    expect(files.locator("#files")).to_contain_text("/landing/windows.csv", timeout=30_000)
    person.service.create(("windows", "seen beside files"))
    shows([tasks], "seen beside files")


def test_a_window_that_goes_elsewhere_and_back_is_live_again(person):
    page = person.open(PATH)
    are_live([page])
    page.goto("/api/docs")
    person.service.create(("windows", "while away"))
    page.go_back()
    are_live([page])
    shows([page], "while away")
    person.service.create(("windows", "once back"))
    shows([page], "once back")


def test_a_browser_without_shared_workers_is_live(person):
    person.with_screen()
    person.page.add_init_script("delete window.SharedWorker")
    page = person.open(PATH)
    are_live([page])
    person.service.create(("windows", "seen without a worker"))
    shows([page], "seen without a worker")


def test_pages_below_a_path_find_all_they_need(person):
    served = service.Service(person.service.program, config=below_a_path)
    try:
        below = harness.Person(person.browser, served, person.shots)
        page = below.open("/tools/flow" + PATH)
        are_live([page])
        served.create(("windows", "seen below"))
        shows([page], "seen below")
        page.get_by_role("navigation", name="Pages").get_by_role("link", name="Workflow").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Workflow")
        page.get_by_role("button", name="Reload workflows").click()
        expect(page.locator(".notice")).to_contain_text("Workflows reloaded")
        assert page.evaluate("location.pathname") == "/tools/flow/web/workflow"
        below.close()
    finally:
        served.close()
