"""Takes the pictures of docs/tour.md anew, from the demo."""

import io
import json
import pathlib
import sys
import time
import urllib.request
from datetime import datetime, timedelta, timezone

from PIL import Image
from playwright.sync_api import sync_playwright

import harness
from demo import Demo

HERE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "tour"

# A picture may weigh this much.
MOST_BYTES = 120_000

# What it takes for the demo to have had some of everything: retries, an alert, children.
WARM_UP = 45

PICTURES = [
    ("overview", "/", {}),
    ("tasks", "/web/task", {}),
    ("alerts", "/web/alert", {}),
    ("slack", "/demo/slack", {}),
    ("files", "/web/files", {}),
    ("workflow", "/web/workflow", {}),
    ("workflow-file", "/web/workflow?file=orders.toml", {}),
    ("gantt", "/web/workflow/gantt?file=orders.toml", {}),
    ("backload", "/web/backload?task=report:daily&from=2026-01-01&to=2026-01-31&preview=1", {}),
    ("audit", "/web/audit", {}),
    ("about", "/web/about", {}),
    ("dark", "/web/workflow?file=orders.toml", {"dark": True}),
    ("narrow", "/web/workflow", {"width": 400}),
]


class TouredDemo(Demo):
    """A demo in which people did something."""

    def ask(self, method, path, body=None, token=None):
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def failed(self):
        """A task that has no retry left: one that has can't be rerun."""
        return self.ask("GET", "/api/v1/tasks?type=partner&result=error&retry=failed&limit=1")["items"][0]["uid"]

    def have_a_day(self):
        """For the Gantt: the orders of each hour so far, by slower workers than the demo has."""
        now = datetime.now(timezone.utc)
        written = lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ")
        tasks = []
        for hour in range(now.hour):
            created = now.replace(hour=hour, minute=5, second=0, microsecond=0)
            period = (created - timedelta(hours=1)).strftime("%Y-%m-%dT%H")
            meta = f"workflow=orders.toml&cron={period}"
            for topic, wait, run in [("extract", 1, 14 + hour * 5 % 9), ("load", 4, 11 + hour * 7 % 8), ("aggregate", 2, 8), ("publish", 1, 5)]:
                started = created + timedelta(minutes=wait)
                ended = started + timedelta(minutes=run)
                times = {"created": written(created), "started": written(started), "ended": written(ended)}
                tasks.append({"type": topic, "job": "orders", "id": f"orders-{period}", "info": f"?hour={period}", "meta": meta,
                              "result": "complete", "msg": f"{1000 + 137 * hour} rows"} | times)
                # The last two both follow the second.
                created = created if topic == "aggregate" else ended
        assert not tasks or self.ask("POST", "/api/v1/results", tasks)["rejected"] == []

    def people_change_things(self):
        """For the page of the trail."""
        ann, bob = (self.ask("POST", "/api/v1/tokens", {"name": name, "role": "operator"})["token"] for name in ("ann", "bob"))
        phase = {"workflow": "nightly.toml", "task": "report:daily"}
        self.ask("POST", "/api/v1/phases/pause", phase, ann)
        silence = {"match": {"type": "partner"}, "for": "4h", "reason": "they move their server"}
        self.ask("POST", "/api/v1/silences", silence, bob)
        self.ask("POST", f"/api/v1/tasks/{self.failed()}/rerun", {}, bob)
        self.ask("POST", "/api/v1/phases/resume", phase, ann)


def shrink(picture):
    """The same with as few colours as keep those of a legend: these are drawings, not photographs."""
    image = Image.open(io.BytesIO(picture)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    assert out.tell() < MOST_BYTES, f"{out.tell()} bytes"
    return out.getvalue()


def main():
    HERE.mkdir(exist_ok=True)
    demo = TouredDemo(sys.argv[1])
    try:
        demo.have_a_day()
        time.sleep(WARM_UP)
        demo.people_change_things()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(**harness.browser())
            for name, path, screen in [*PICTURES, ("task", f"/web/task/{demo.failed()}", {})]:
                person = harness.Person(browser, demo, HERE).with_screen(**screen)
                page = person.open(path)
                page.wait_for_timeout(300)
                (HERE / f"{name}.png").write_bytes(shrink(page.screenshot()))
                print(f"{name}: {(HERE / f'{name}.png').stat().st_size} bytes", flush=True)
                person.give_up()
            browser.close()
    finally:
        demo.close()


if __name__ == "__main__":
    main()
