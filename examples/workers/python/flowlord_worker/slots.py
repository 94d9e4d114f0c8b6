"""Tasks, and the slots that do them one after another."""

from __future__ import annotations

import json
import logging
import threading
import time
import traceback
import urllib.parse
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Optional

from .service import Away, LeaseLost, Refused, Service, backoff
from .task_log import TaskLog

log = logging.getLogger("flowlord_worker")

# How long one request for a task waits; a stop takes as long at worst.
WAIT_SECONDS = 8
MAX_MSG_CHARS = 10_000


class Warn(Exception):
    """Raise it for a failure that nobody needs to know of: neither a retry nor an alert."""


class Alert(Exception):
    """Raise it for a failure of which people must hear at once: no retry."""


@dataclass
class Task:
    """A leased task: what is to be done, and how to say how far it is."""

    type: str
    job: str
    info: str
    id: str
    uid: str
    created: str
    attempt: int
    meta: dict[str, str]
    progress: Optional[float] = None
    msg: str = ""
    _log: Optional[TaskLog] = field(default=None, repr=False)
    _gone: threading.Event = field(default_factory=threading.Event, repr=False)

    @classmethod
    def of(cls, leased: Mapping[str, Any]) -> Task:
        task = leased["task"]
        meta = dict(urllib.parse.parse_qsl(task.get("meta", ""), keep_blank_values=True))
        texts = {name: task.get(name, "") for name in ("type", "job", "info", "id", "uid", "created")}
        return cls(**texts, attempt=leased.get("attempt", 1), meta=meta)

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody cancelled the task, or it is another worker's: long work should stop then."""
        return self._gone.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleeps, and returns at once with true when the task is cancelled."""
        return self._gone.wait(seconds)

    def log(self, text: str) -> None:
        """Writes a line to the task's log, which its page shows while it runs."""
        if self._log:
            self._log.write(text + "\n")

    def report(self, progress: Optional[float] = None, msg: Optional[str] = None) -> None:
        """Says how far the task is, from 0 to 1, and what it does: sent with the next heartbeat, `msg` with the result."""
        self.progress = self.progress if progress is None else progress
        self.msg = self.msg if msg is None else msg


Handler = Callable[[Task], Optional[Mapping[str, object]]]


@dataclass
class Job:
    """A function, the topics that it does, and how many of their tasks at the same time."""

    topics: list[str]
    handler: Handler
    slots: int = 1
    lease_seconds: float = 60


class Attempt:
    """A task in the hands of a slot: heartbeats until it ends, then its result."""

    def __init__(self, service: Service, job: Job, leased: Mapping[str, Any]) -> None:
        self.service, self.job = service, job
        self.path = f"/lease/{leased['lease']}"
        self.task = Task.of(leased)
        self.is_lost = False
        self.has_ended = threading.Event()

    def work(self) -> None:
        threading.Thread(target=self.send_heartbeats, daemon=True).start()
        self.task._log = TaskLog(self.service, self.path)
        outcome = result_of(self.job.handler, self.task)
        self.task._log.end()
        if self.task.is_cancelled:
            outcome = {"result": "warn", "msg": "stopped, as it was cancelled"}
        try:
            if not self.is_lost:
                # Twice does no harm: the second answer says "duplicate": true.
                self.service.post_until_answered(f"{self.path}/result", outcome)
                log.info("event=task_ended uid=%s result=%s msg=%r", self.task.uid, outcome["result"], outcome["msg"])
        except LeaseLost as error:
            log.warning("event=lease_lost uid=%s error=%s", self.task.uid, error)
        except (Away, Refused) as error:
            log.error("event=result_not_posted uid=%s error=%s", self.task.uid, error)
        finally:
            self.has_ended.set()

    def send_heartbeats(self) -> None:
        while not self.has_ended.wait(self.job.lease_seconds / 3):
            said = {"progress": self.task.progress, "msg": self.task.msg or None}
            try:
                body = {key: value for key, value in said.items() if value is not None}
                if self.service.post(f"{self.path}/heartbeat", body, timeout=10).get("cancel"):
                    self.task._gone.set()
            except LeaseLost:
                self.lose()
            except (Away, Refused) as error:
                # A restart of the service loses no lease.
                log.warning("event=heartbeat_failed uid=%s error=%s", self.task.uid, error)

    def lose(self) -> None:
        self.is_lost = True
        self.task._gone.set()

    def release(self) -> None:
        """Returns the task to other workers; it isn't counted as an attempt."""
        self.lose()
        try:
            self.service.post(f"{self.path}/release", {}, timeout=5)
            log.info("event=task_released uid=%s", self.task.uid)
        except (Away, LeaseLost, Refused) as error:
            log.warning("event=release_failed uid=%s error=%s", self.task.uid, error)


def result_of(handler: Handler, task: Task) -> dict[str, Any]:
    try:
        meta = handler(task)
        return {"result": "complete", "msg": task.msg[:MAX_MSG_CHARS], "meta": texts_of(meta or {})}
    except Warn as error:
        return {"result": "warn", "msg": str(error)[:MAX_MSG_CHARS]}
    except Alert as error:
        return {"result": "alert", "msg": str(error)[:MAX_MSG_CHARS]}
    except (Exception, SystemExit) as error:  # whatever goes wrong is the task's result
        task.log(traceback.format_exc().rstrip())
        return {"result": "error", "msg": f"{type(error).__name__}: {error}"[:MAX_MSG_CHARS]}


def texts_of(meta: Mapping[str, object]) -> dict[str, str]:
    given = {key: value for key, value in meta.items() if value is not None}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items()}


class SlotPool:
    """Threads that each lease a task, do it, and lease the next, until they are stopped."""

    def __init__(self, service: Service, jobs: list[Job], name: str) -> None:
        self.service, self.name = service, name
        self.refusal: Optional[str] = None
        self.attempts: dict[int, Attempt] = {}
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._do_tasks, args=(job,), daemon=True) for job in jobs for _ in range(job.slots)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """No further tasks; those in hand go on to their end."""
        self._stopping.set()

    def release(self) -> None:
        """Returns the tasks in hand to other workers."""
        self.stop()
        for attempt in list(self.attempts.values()):
            attempt.release()

    def wait(self, seconds: float) -> bool:
        """Whether all slots have ended, after so many seconds at most."""
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def _do_tasks(self, job: Job) -> None:
        failures = 0
        while not self.is_stopping:
            try:
                for leased in self._lease(job):
                    self._do(job, leased)
                failures = 0
            except Refused as error:
                # A wrong token or topic: it would be refused again, and for the others, too.
                self.refusal = str(error)
                self.stop()
            except Exception as error:  # also an answer of some other server: a slot never ends by it
                log.warning("event=service_away error=%s", error)
                self._stopping.wait(max(getattr(error, "pause", 0.0), backoff(failures)))
                failures += 1

    def _lease(self, job: Job) -> list[dict[str, Any]]:
        wanted = {"topics": job.topics, "worker": self.name, "max": 1, "wait": f"{WAIT_SECONDS}s"}
        answer = self.service.post("/lease", {**wanted, "lease": f"{job.lease_seconds:g}s"}, timeout=WAIT_SECONDS + 15)
        tasks: list[dict[str, Any]] = answer["tasks"]
        return tasks

    def _do(self, job: Job, leased: Mapping[str, Any]) -> None:
        attempt = Attempt(self.service, job, leased)
        self.attempts[id(attempt)] = attempt
        try:
            attempt.work()
        finally:
            del self.attempts[id(attempt)]
