#!/usr/bin/env python3
"""A flowlord worker in Python, with nothing but the standard library.

    python3 examples/workers/worker.py --topic extract --topic load
    python3 examples/workers/worker.py --server http://flowlord:8080 --topic load:orders --slots 4

Replace `work()` below with what your tasks need. The rest is the whole protocol:

    1. POST /api/v1/lease                      waits until there is a task, and leases it
    2. POST /api/v1/lease/{lease}/heartbeat    every third of a lease, while the task runs
    3. POST /api/v1/lease/{lease}/result       complete, error, warn or alert

A task is delivered at least once: make `work()` safe to run again.
"""

import argparse
import json
import os
import random
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

LEASE = 60  # seconds without a heartbeat after which another worker gets the task
WAIT = 8  # seconds that one request for a task waits; a stop takes as long at worst

stopping = threading.Event()


def work(task, cancelled):
    """Does the task. Answers a dict of meta for the tasks that follow, or raises.

    `task` is Task JSON: type, job, info, id, uid, created, meta. `cancelled` is set when the task
    belongs to this worker no longer: long work should check it from time to time and return.
    """
    meta = dict(urllib.parse.parse_qsl(task.get("meta", "")))
    log("working", type=task["type"], job=task.get("job", ""), info=task["info"], meta=meta)
    cancelled.wait(random.uniform(0.2, 0.6))
    if task["type"] == "extract":
        # What the next phase needs: its rule says require={meta:file}.
        return {"file": f"/tmp/{task['job']}-{task['uid']}.json.gz", "rows": random.randint(500, 5000)}
    if task["type"] == "partner" and random.random() < 0.3:
        raise RuntimeError("partner.example: connection refused")
    return {}


class Warn(Exception):
    """Raise it for a failure of no concern: neither a retry nor an alert."""


class Alert(Exception):
    """Raise it for a failure that people must hear of at once: no retry."""


class LeaseLost(Exception):
    """The task is another worker's now; there is nothing to post."""


class Server:
    """The service, over HTTP."""

    def __init__(self, url, token=None):
        self.url = url.rstrip("/") + "/api/v1"
        self.headers = {"Content-Type": "application/json"}
        if token:
            self.headers["Authorization"] = f"Bearer {token}"

    def post(self, path, body, timeout=30):
        """Posts once. Raises LeaseLost, urllib.error.URLError, or answers the JSON."""
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), self.headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            # Errors are problem documents: a stable `code`, and a `detail` that says what to change.
            try:
                problem = json.load(error)
            except ValueError:
                problem = {}
            if problem.get("code") in ("lease_lost", "lease_unknown", "already_finished"):
                raise LeaseLost(problem.get("detail")) from None
            error.msg = problem.get("detail", error.msg)
            raise

    def post_until_answered(self, path, body):
        """Posts until the service answers: it may be restarting, and nothing acknowledged is lost there."""
        for attempt in range(1000):
            try:
                return self.post(path, body)
            except urllib.error.HTTPError as error:
                if error.code < 500 and error.code not in (408, 429):
                    raise  # 4xx: the same request would be refused again
                pause, why = float(error.headers.get("Retry-After") or 1), error
            except OSError as error:
                pause, why = 1, error
            pause = max(pause, min(15, 0.25 * 2 ** min(attempt, 6)) * random.uniform(0.5, 1))
            log("service_away", retry_in=f"{pause:.1f}s", error=why)
            time.sleep(pause)
        raise OSError("the service stayed away")


def heartbeats(server, lease, done, cancelled):
    """Keeps the lease until `done`; sets `cancelled` when the task is gone."""
    while not done.wait(LEASE / 3):
        try:
            answer = server.post(f"/lease/{lease}/heartbeat", {}, timeout=10)
            if answer.get("cancel"):
                cancelled.set()
        except LeaseLost:
            cancelled.set()
        except OSError as error:
            # Away for a while: go on. A restart of the service loses no lease.
            log("heartbeat_failed", error=error)


def one_task(server, lease, task):
    done, cancelled = threading.Event(), threading.Event()
    threading.Thread(target=heartbeats, args=(server, lease, done, cancelled), daemon=True).start()
    try:
        meta = work(task, cancelled) or {}
        outcome = {"result": "complete", "meta": {key: str(value) for key, value in meta.items()}}
    except Warn as error:
        outcome = {"result": "warn", "msg": str(error)}
    except Alert as error:
        outcome = {"result": "alert", "msg": str(error)}
    except Exception as error:  # whatever goes wrong is the task's result
        outcome = {"result": "error", "msg": f"{type(error).__name__}: {error}"}
    finally:
        done.set()
    if cancelled.is_set():
        log("task_gone", uid=task["uid"])
        return
    try:
        # Twice is no harm: the second answer says "duplicate": true.
        server.post_until_answered(f"/lease/{lease}/result", outcome)
        log("done", uid=task["uid"], **outcome)
    except LeaseLost as error:
        log("lease_lost", uid=task["uid"], error=error)


def slot(server, topics, name):
    """One task after the other, until SIGTERM."""
    while not stopping.is_set():
        wanted = {"topics": topics, "worker": name, "max": 1, "wait": f"{WAIT}s", "lease": f"{LEASE}s"}
        try:
            tasks = server.post("/lease", wanted, timeout=WAIT + 15)["tasks"]
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code not in (408, 429):
                log("refused", error=error)
                stopping.set()
                return
            stopping.wait(float(error.headers.get("Retry-After") or 1))
            continue
        except OSError as error:
            log("service_away", error=error)
            stopping.wait(random.uniform(1, 3))
            continue
        for leased in tasks:
            one_task(server, leased["lease"], leased["task"])


def log(event, **fields):
    line = " ".join(f"{key}={value!r}" for key, value in fields.items())
    print(f"event={event} {line}", file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description="A flowlord worker.")
    parser.add_argument("--server", default=os.environ.get("FLOWLORD_SERVER", "http://127.0.0.1:8080"))
    parser.add_argument("--token", default=os.environ.get("FLOWLORD_TOKEN"))
    parser.add_argument("--topic", action="append", required=True, help="topic or topic:job; may be repeated")
    parser.add_argument("--slots", type=int, default=1, help="how many tasks at the same time")
    args = parser.parse_args()
    server = Server(args.server, args.token)
    # The first SIGTERM or Ctrl-C lets running tasks finish; the second ends at once.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(130) if stopping.is_set() else stopping.set())
    name = f"{socket.gethostname()}-{os.getpid()}"
    slots = [threading.Thread(target=slot, args=(server, args.topic, name)) for _ in range(args.slots)]
    for thread in slots:
        thread.daemon = True
        thread.start()
    log("working", topics=args.topic, slots=args.slots, worker=name)
    while any(thread.is_alive() for thread in slots):
        time.sleep(0.2)  # signals are handled between sleeps


if __name__ == "__main__":
    main()
