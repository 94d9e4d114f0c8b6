#!/usr/bin/env python3
"""A worker for the workflows in examples/workflows.

    python3 examples/workers/python/example.py
    python3 examples/workers/python/example.py --server http://flowlord:8080 --topic extract

Replace the functions by what your tasks need. README.md says what they may return and raise.
"""

from __future__ import annotations

import random

from flowlord_worker import Alert, Task, run, worker


@worker("extract", slots=2)
def extract(task: Task) -> dict[str, object]:
    task.report(progress=0.5, msg=f"reading {task.info}")
    task.wait(random.uniform(0.2, 0.6))
    rows = random.randint(500, 5000)
    task.report(msg=f"{rows} rows")
    # What the next phase needs: its rule says require={meta:file}.
    return {"file": f"/tmp/{task.job}-{task.uid}.json.gz", "rows": rows}


@worker("load", "aggregate", "publish", "report", slots=2)
def pass_on(task: Task) -> None:
    if not task.info:
        raise Alert("the task says nothing: look at the template of its phase")
    task.wait(random.uniform(0.2, 0.6))


@worker("partner", lease_seconds=30)
def fetch_from_partner(task: Task) -> None:
    task.wait(0.3)
    if random.random() < 0.3:
        raise RuntimeError("partner.example: connection refused")


if __name__ == "__main__":
    raise SystemExit(run())
