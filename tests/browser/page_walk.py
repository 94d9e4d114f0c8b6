"""The walk of somebody who sees flowlord for the first time: the demo, from a failure to the all-clear in Slack."""

import re
from datetime import datetime, timezone

from playwright.sync_api import expect

from demo import Demo
from harness import Person

# An incident that begins and ends within a minute.
HURRY = ["--outage", "30s", "--notify-min-frequency", "1s", "--notify-max-frequency", "8s"]

MOST_CLICKS = 12
PATIENCE = 45_000


class Walk:
    """Clicks, and counts the clicks."""

    def __init__(self, person):
        self.page = person.open("/")
        self.clicks = 0

    def click(self, wanted):
        wanted.click()
        self.clicks += 1

    def go_to(self, name):
        self.click(self.page.locator("nav.pages").get_by_role("link", name=name, exact=True))


def walk(person):
    tour = Walk(person)
    page = tour.page
    # What failed.
    tour.go_to("Alerts")
    failed = page.locator("table.alerts tbody tr", has_text="partner").first
    expect(failed).to_contain_text("connection refused", timeout=PATIENCE)
    # Its log, and why.
    tour.click(failed.locator("a.open"))
    log = page.locator("pre.log")
    expect(log).to_contain_text("partner.example: connection refused")
    expect(log).to_contain_text("down for maintenance, up again at")
    back = re.search(r"up again at (\S+) UTC", log.inner_text()).group(1)
    task = page.url
    person.shoot("walk-log")
    # Somebody is on it, and says so by the button of the message.
    tour.go_to("Slack")
    newest = page.locator("#channel > .slack-message").first
    expect(newest).to_be_visible(timeout=PATIENCE)
    tour.click(newest.get_by_role("button", name="Acknowledge"))
    expect(page.locator(".notice")).to_contain_text("Clicked")
    expect(newest).to_contain_text("acknowledged by", timeout=PATIENCE)
    # It eases once the partner is up again: without a click.
    expect(newest.locator(".attachment.yellow").first).to_be_visible(timeout=PATIENCE)
    person.shoot("walk-easing")
    # Back to what failed, and again: at the time that the log told.
    while datetime.now(timezone.utc).strftime("%H:%M:%S") <= back:
        page.wait_for_timeout(200)
    tour.go_to("Alerts")
    tour.click(page.locator("table.alerts tbody tr", has_text="partner").last.locator("a.open"))
    tour.click(page.get_by_role("button", name="Rerun"))
    expect(page.locator(".notice")).to_contain_text("Rerun as task")
    expect(page.locator(".chain table tbody tr").last.locator(".pill")).to_have_text("complete", timeout=PATIENCE)
    # All clear.
    tour.go_to("Slack")
    expect(newest.locator(".attachment.green").first).to_contain_text("all clear", timeout=PATIENCE)
    person.shoot("walk-all-clear")
    assert task.startswith(person.service.url)
    return tour


def test_from_a_failure_to_the_all_clear(person):
    demo = Demo(person.service.program, *HURRY)
    newcomer = Person(person.browser, demo, person.shots)
    try:
        tour = walk(newcomer)
        newcomer.close()
    except Exception:
        newcomer.shoot("failed-walk")
        raise
    finally:
        demo.close()
    print(f"        {tour.clicks} clicks")
    assert tour.clicks < MOST_CLICKS, f"{tour.clicks} clicks"
