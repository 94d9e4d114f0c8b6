"""A worker on the client that `examples/clients/generate python` makes. For real work, see examples/workers/python."""

import os

from flowlord_client import AuthenticatedClient, Client
from flowlord_client.api.work import post_api_v1_lease, post_api_v1_lease_lease_result
from flowlord_client.models import Lease, Leased, Result, ResultResult


def do_tasks(client, topic):
    wanted = Lease(topics=[topic], worker=f"python-{os.getpid()}", wait="20s", lease="60s")
    while True:
        leased = post_api_v1_lease.sync(client=client, body=wanted)
        if not isinstance(leased, Leased):
            raise SystemExit(f"refused: {leased}")
        for item in leased.tasks:
            # Here is the work. Longer work sends heartbeats: post_api_v1_lease_lease_heartbeat.
            print("working on", item.task.type_, item.task.info, flush=True)
            done = Result(result=ResultResult.COMPLETE, msg="by the Python client", meta="client=python")
            post_api_v1_lease_lease_result.sync(item.lease, client=client, body=done)


if __name__ == "__main__":
    url, token = os.environ.get("FLOWLORD_SERVER", "http://127.0.0.1:8080"), os.environ.get("FLOWLORD_TOKEN")
    # The answer to a lease may take as long as its wait.
    client = AuthenticatedClient(url, token, timeout=60) if token else Client(url, timeout=60)
    do_tasks(client, os.environ.get("TOPIC", "load"))
