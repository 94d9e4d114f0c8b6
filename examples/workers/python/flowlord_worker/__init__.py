"""Workers of flowlord: a function for each topic.

    from flowlord_worker import Alert, Task, Warn, run, worker

    @worker("extract:orders", slots=2)
    def extract(task: Task):
        return {"file": "s3://bucket/orders.json.gz"}

    if __name__ == "__main__":
        raise SystemExit(run())
"""

from .slots import Alert, Job, SlotPool, Task, Warn
from .service import LeaseLost, Refused, Service
from .command import run, worker

__all__ = ["Alert", "Job", "LeaseLost", "Refused", "Service", "SlotPool", "Task", "Warn", "run", "worker"]
