"""A person with a browser: looks at pages of the service, and notices what no page may do."""

import shutil
import urllib.parse

from axe_playwright_python.sync_playwright import Axe

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run"]

# What WCAG 2.2 AA asks for, as far as a program can tell.
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
         # Of what is well, nobody asks for places.
         "resultTypes": ["violations"]}


def browser():
    """How the browser is started."""
    return {"executable_path": shutil.which("chromium") or shutil.which("google-chrome"), "args": FLAGS}


class Person:
    """Opens pages; by default on a wide light screen, with scripts."""

    def __init__(self, browser, service, shots):
        self.browser, self.service, self.shots = browser, service, shots
        self.contexts, self.complaints = [], []
        self.page = None

    def with_screen(self, width=1280, dark=False, scripts=True, motion="reduce"):
        """Takes another screen."""
        context = self.browser.new_context(
            base_url=self.service.url, viewport={"width": width, "height": 900}, timezone_id="UTC",
            color_scheme="dark" if dark else "light", java_script_enabled=scripts, reduced_motion=motion,
        )
        context.set_default_timeout(15_000)
        self.contexts.append(context)
        self.page = self.another()
        return self

    def another(self):
        """Opens another window of the same browser."""
        page = self.contexts[-1].new_page()
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        page.on("request", self._request)
        return page

    def _console(self, message):
        # Answers of 4xx that a test provokes are told there, too.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.complaints.append(f"console: {message.text}")

    def _request(self, request):
        ours = urllib.parse.urlsplit(self.service.url).netloc
        address = urllib.parse.urlsplit(request.url)
        if address.scheme in ("http", "https") and address.netloc != ours:
            self.complaints.append(f"request to another host: {request.url}")

    def open(self, path):
        """Goes to a page, which must be there."""
        if self.page is None:
            self.with_screen()
        answer = self.page.goto(path)
        assert answer.status == 200, f"{path}: {answer.status}"
        return self.page

    def shoot(self, name):
        """Keeps what is seen."""
        if self.page is not None:
            self.page.screenshot(path=self.shots / f"{name}.png", full_page=True)

    def barriers(self, what):
        """What on the page keeps somebody from using it, as far as axe-core can tell."""
        found = Axe().run(self.page, options=RULES).response["violations"]
        return [f"{what}: {rule['id']}: {rule['help']}: {node['html'][:200]}: {node.get('failureSummary', '')[:200]}"
                for rule in found for node in rule["nodes"][:3]]

    def sticks_out(self, what):
        """Whether anything sticks out at the right."""
        wide, screen = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        return [f"{what}: {wide} px wide on {screen}"] if wide > screen else []

    def give_up(self):
        """Closes without complaint."""
        for context in self.contexts:
            context.close()

    def close(self):
        """Closes; nothing may have gone wrong by the way."""
        self.give_up()
        assert not self.complaints, "\n".join(self.complaints)
