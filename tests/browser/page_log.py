"""The log of a task: shown, searched, followed while the task runs."""

import re

from playwright.sync_api import expect


def running(person):
    """A task of its own that runs, and where its log goes on."""
    uid = person.service.create(("logged", "x"))["items"][0]["uid"]
    leased = person.service.lease("logged")[0]
    assert leased["task"]["uid"] == uid
    return leased, person.service.write(leased, 0, "\x1b[32mfirst\x1b[0m line <b>\n")


def test_a_log_goes_on_while_its_task_runs_and_after_a_reload(person):
    leased, offset = running(person)
    page = person.open(f"/web/task/{leased['task']['uid']}")
    log = page.locator("pre.log")
    expect(log).to_have_text("first line <b>\n")
    expect(log.locator("span.f2")).to_have_text("first")
    offset = person.service.write(leased, offset, "second\x1b[3")
    offset = person.service.write(leased, offset, "1m red\x1b[0m\n")
    expect(log).to_have_text("first line <b>\nsecond red\n")
    expect(log.locator("span.f1")).to_have_text(" red")
    page.reload()
    expect(log).to_have_text("first line <b>\nsecond red\n")
    offset = person.service.write(leased, offset, "".join(f"line {number}\n" for number in range(200)))
    expect(log).to_contain_text("line 199")
    # Whoever reads the end stays there.
    at_end = "log => log.scrollHeight - log.scrollTop - log.clientHeight < 2"
    assert log.evaluate(at_end)
    log.evaluate("log => { log.scrollTop = 0; }")
    person.service.write(leased, offset, "last\n")
    expect(log).to_contain_text("last")
    assert not log.evaluate(at_end)
    person.service.end(leased, "error", "see https://wiki.example.org/a?b=1&c=2")
    expect(page.locator(".head .pill")).to_have_text("error")
    expect(page.get_by_role("link", name="https://wiki.example.org/a?b=1&c=2")).to_be_visible()
    assert len(re.findall("first line", log.inner_text())) == 1
    person.shoot("log-of-a-failure")


def test_a_log_is_searched_and_shown_whole_also_without_scripts(person):
    uid = person.service.first["task"]["uid"]
    page = person.with_screen(scripts=False).open(f"/web/task/{uid}")
    search = page.get_by_role("searchbox", name="Search the log")
    search.fill("colour 31")
    search.press("Enter")
    expect(page.locator("pre.log")).to_have_text(re.compile("^ *6 text in colour 31 and plain <text> on a ground\n$"))
    person.shoot("log-searched")
    page.get_by_role("link", name="All lines").click()
    expect(page.locator("pre.log")).to_contain_text("colour 97")
    page.get_by_role("link", name="As text").click()
    expect(page.locator("body")).to_contain_text("text in colour 1")
