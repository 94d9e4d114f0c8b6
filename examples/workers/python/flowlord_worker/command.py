"""The decorator that declares a worker, and the command line that runs it."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
from typing import Callable, Optional, Sequence

from .service import Service
from .slots import Handler, Job, SlotPool

log = logging.getLogger("flowlord_worker")
declared: list[Job] = []


def worker(*topics: str, slots: int = 1, lease_seconds: float = 60) -> Callable[[Handler], Handler]:
    """Declares that a function does the tasks of some topics, each `topic` or `topic:job`."""
    if not topics:
        raise ValueError("name a topic: @worker('extract:orders')")
    if slots < 1 or not 5 <= lease_seconds <= 86_400:
        raise ValueError("slots is 1 or more, lease_seconds is from 5 to 86400")

    def declare(handler: Handler) -> Handler:
        declared.append(Job(list(topics), handler, slots, lease_seconds))
        return handler

    return declare


def run(words: Optional[Sequence[str]] = None) -> int:
    """Does the tasks of all declared workers until SIGTERM or Ctrl-C; answers the exit code."""
    args = parse_words(words)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    jobs = selected_jobs(args.topic)
    if not jobs:
        log.error("event=no_topics error='no function declares %s: add one with @worker'", args.topic or "a topic")
        return 2
    pool = SlotPool(Service(args.server, args.token), jobs, f"{socket.gethostname()}-{os.getpid()}")
    # Only counted: a handler may run within a log line, and must not write another.
    caught: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: caught.append(number))
    log.info("event=working topics=%s worker=%s", [topic for job in jobs for topic in job.topics], pool.name)
    pool.start()
    while not pool.wait(0.2):
        heed_signals(pool, len(caught))
    if pool.refusal:
        log.error("event=refused error=%s", pool.refusal)
    return 1 if pool.refusal else 0


def parse_words(words: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A flowlord worker.")
    parser.add_argument("--server", default=os.environ.get("FLOWLORD_SERVER", "http://127.0.0.1:8080"))
    parser.add_argument("--token", default=os.environ.get("FLOWLORD_TOKEN"))
    parser.add_argument("--topic", action="append", help="only this topic of those declared; may be repeated")
    return parser.parse_args(words)


def selected_jobs(topics: Optional[Sequence[str]]) -> list[Job]:
    """The declared jobs, with only those of their topics that were asked for."""
    kept = [(job, [topic for topic in job.topics if not topics or topic in topics]) for job in declared]
    return [Job(wanted, job.handler, job.slots, job.lease_seconds) for job, wanted in kept if wanted]


def heed_signals(pool: SlotPool, count: int) -> None:
    """The first signal lets tasks finish; the second releases them and ends at once."""
    if count > 0 and not pool.is_stopping:
        pool.stop()
        log.info("event=stopping tasks=%d", len(pool.attempts))
    if count > 1:
        pool.release()
        os._exit(130)
