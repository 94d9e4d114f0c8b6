"""A running flowlord with a history that the tests know, and its REST API."""

import datetime
import http.server
import json
import pathlib
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

WORKFLOWS = {
    "orders.toml": """
[[phase]]
task = "extract:orders"
rule = "cron=*/2 * * * * *&offset=-1h"
retry = 1
template = "?hour={yyyy}-{mm}-{dd}T{hh}"

[[phase]]
task = "load:orders"
dependsOn = "extract:orders"
rule = "require={meta:file}"
template = "{meta:file}?hour={yyyy}-{mm}-{dd}T{hh}"

[[phase]]
task = "aggregate:orders"
dependsOn = "load:orders"
template = "?hour={yyyy}-{mm}-{dd}T{hh}"

[[phase]]
task = "publish:orders"
dependsOn = "load:orders"
template = "?hour={yyyy}-{mm}-{dd}T{hh}"
""",
    "nightly.toml": """
[[phase]]
task = "report:daily"
rule = "cron=30 2 * * *&offset=-24h"
template = "?day={yyyy}-{mm}-{dd}"

[[phase]]
task = "wide"
rule = "job=rows"
template = "?day={yyyy}-{mm}-{dd}&text=%s"
""" % ("{meta:text}" * 200),
    "broken.toml": """
[[phase]]
task = "never"
rule = "cron=61 * * * *"
template = "x"
""",
    "files.toml": """
[[phase]]
task = "import"
rule = "files=/landing/*.csv"
template = "{meta:file}"
""",
}

# Routes of their own for incidents that a test opens: each is taken care of once.
ROUTES = ["by-click", "by-keys", "by-plain"]


def usual_config(hook):
    """An incident opens soon and stays open."""
    ladder = 'min_frequency = "2s"\nmax_frequency = "1h"\nfactor_up = 100.0\n'
    routes = "".join(f'[notify.routes.{name}]\ntype = "{name}"\nurl = "{hook}"\n{ladder}' for name in ROUTES)
    return f'[notify]\nurl = "{hook}"\n{routes}'


class Slack(http.server.BaseHTTPRequestHandler):
    """Takes every message."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


class Service:
    """Runs until it is closed."""

    def __init__(self, program, workflows=WORKFLOWS, config=usual_config):
        self.program = program
        self.folder = tempfile.TemporaryDirectory(prefix="flowlord-browser-")
        root = pathlib.Path(self.folder.name)
        (root / "workflows").mkdir()
        for name, text in workflows.items():
            (root / "workflows" / name).parent.mkdir(exist_ok=True)
            (root / "workflows" / name).write_text(text)
        self.slack = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slack)
        threading.Thread(target=self.slack.serve_forever, daemon=True).start()
        hook = f"http://127.0.0.1:{self.slack.server_port}/hook"
        (root / "flowlord.toml").write_text(config(hook))
        command = [program, "serve", "--config", root / "flowlord.toml", "--workflow", root / "workflows", "--data", root / "data",
                   "--listen", "127.0.0.1:0"]
        self.log = open(root / "log", "w")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        assert "http://" in line, (root / "log").read_text()
        self.url = line[line.index("http://"):].split()[0].rstrip("/")
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        self.slack.shutdown()
        self.log.close()
        self.folder.cleanup()
        assert code == 0, f"the service ended with {code}"

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from error

    def get(self, path):
        return self.ask("GET", path)

    def post(self, path, body):
        return self.ask("POST", path, body)

    def create(self, *tasks):
        """Creates tasks, each written as (topic, info)."""
        return self.post("/api/v1/tasks", [{"type": topic, "info": info} for topic, info in tasks])

    def lease(self, topic, most=1):
        wanted = {"topics": [topic], "worker": "browser-test", "max": most, "lease": "10m"}
        return self.post("/api/v1/lease", wanted)["tasks"]

    def end(self, leased, result="complete", msg="", meta=""):
        body = {"result": result, "msg": msg}
        if meta:
            body["meta"] = meta
        self.post(f"/api/v1/lease/{leased['lease']}/result", body)

    def write(self, leased, offset, text):
        """Appends to the log of a task; answers where it goes on."""
        headers = {"Content-Type": "text/plain", "Upload-Offset": str(offset)}
        path = f"{self.url}/api/v1/lease/{leased['lease']}/log"
        request = urllib.request.Request(path, text.encode(), headers, method="POST")
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)["offset"]

    def until(self, what, condition, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"never: {what}")


# All colours that a log may have, on the usual ground and on one of its own, bright, bold and dim.
LOG = "".join(
    f"\x1b[{code}mtext in colour {code}\x1b[0m and plain <text> \x1b[{code};4{code % 10}mon a ground\x1b[0m\n"
    for code in [1, 2, 3, 4, *range(30, 38), *range(90, 98)]
)


def today():
    return datetime.datetime.now(datetime.timezone.utc).date()


def seed(service):
    """A day with all that the pages can show: every result, a retry, a chain, progress, alerts, files."""
    service.create(*[("bulk", f"s3://bucket/{number:03}.csv?number={number}") for number in range(130)])
    for number, leased in enumerate(service.lease("bulk", 100)):
        result, msg = [("complete", f"{number} rows"), ("warn", "no new rows"), ("error", "connect: refused"),
                       ("alert", "row count fell by 80 %")][min(number % 10, 3) if number % 10 < 4 else 0]
        service.end(leased, result, msg)
    # An extract that ends well starts its chain; one that fails is tried again.
    first = service.until("a slot started", lambda: service.lease("extract:orders"))[0]
    service.write(first, 0, LOG)
    service.end(first, "complete", "1200 rows", "file=s3://demo/orders.json.gz&rows=1200")
    load = service.until("its child", lambda: service.lease("load:orders"))[0]
    service.end(load, "complete", "loaded")
    failing = service.until("another slot", lambda: service.lease("extract:orders"))[0]
    service.end(failing, "error", "source: timed out")
    held = service.lease("bulk")[0]
    service.post(f"/api/v1/lease/{held['lease']}/heartbeat", {"progress": 0.4, "msg": "40 % of it"})
    service.post("/api/v1/files", {"path": "/landing/a.csv", "size": 10, "checksum": "1"})
    service.post("/api/v1/files", {"path": "/elsewhere/b.txt", "size": 20, "checksum": "2"})
    return first
