"""The package against a fake service: what it sends, and what it makes of each answer."""

from __future__ import annotations

import http.server
import json
import logging
import os
import pathlib
import signal
import subprocess
import sys
import threading
import unittest

FOLDER = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(FOLDER))

from flowlord_worker import Alert, Job, LeaseLost, Refused, Service, SlotPool, Task, Warn, command, worker  # noqa: E402
from flowlord_worker.service import Away  # noqa: E402
from flowlord_worker.slots import result_of, texts_of  # noqa: E402

PATIENCE = 20
logging.disable(logging.CRITICAL)


class FakeService(http.server.ThreadingHTTPServer):
    """Leases the tasks that it was given, and keeps what it is sent. `answers` go before its own, by the end of the path."""

    daemon_threads = True

    def __init__(self, *tasks, answers=None):
        self.tasks, self.answers, self.heard = list(tasks), answers or {}, []
        self.changed = threading.Condition()
        super().__init__(("127.0.0.1", 0), FakeAnswers)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def hear(self, path, body, headers):
        end = path.rsplit("/", 1)[-1]
        with self.changed:
            self.heard.append((end, body, headers))
            self.changed.notify_all()
            planned = self.answers.get(end, [])
            if planned:
                return planned.pop(0)
            if end == "lease" and not self.tasks:
                self.changed.wait(0.05)  # a long poll, in short
            return 200, {"tasks": [leased(self.tasks.pop(0))] if self.tasks else []} if end == "lease" else {}

    def bodies(self, end):
        return [body for heard, body, _ in self.heard if heard == end]

    def until(self, end, count=1):
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.bodies(end)) >= count, PATIENCE):
                raise AssertionError(f"{end}: {self.heard}")
            return self.bodies(end)


class FakeAnswers(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        body = body.decode() if self.path.endswith("/log") else json.loads(body)
        status, answer = self.server.hear(self.path, body, dict(self.headers))
        text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        if status == 503:
            self.send_header("Retry-After", "0.01")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def leased(task):
    return {"lease": "l1", "attempt": 2, "task": {"uid": "u1", "id": "c1", "type": "load", "job": "orders", **task}}


def problem(code):
    return {"code": code, "detail": "what to change"}


class Working(unittest.TestCase):
    def run_one(self, handler, service, lease_seconds=60):
        """One slot, until the service has heard a result; answers the results."""
        pool = SlotPool(Service(service.url, "flw_x"), [Job(["load"], handler, 1, lease_seconds)], "w1")
        pool.start()
        results = service.until("result")
        pool.stop()
        self.assertTrue(pool.wait(PATIENCE))
        return results

    def test_a_task_is_leased_done_and_its_meta_posted(self):
        seen = []

        def handler(task):
            seen.append(task)
            task.report(msg="3 rows")
            return {"rows": 3, "file": "a b", "none": None, "list": [1]}

        with FakeService({"info": "?a", "meta": "file=x%20y&cron=2026-01-01T05"}) as service:
            (result,) = self.run_one(handler, service)
            (first, *_) = service.bodies("lease")
            (headers, *_) = [headers for end, _, headers in service.heard if end == "lease"]
        meta = {"rows": "3", "file": "a b", "list": "[1]"}
        self.assertEqual(result, {"result": "complete", "msg": "3 rows", "meta": meta})
        self.assertEqual(seen[0].meta, {"file": "x y", "cron": "2026-01-01T05"})
        self.assertEqual((seen[0].attempt, seen[0].job), (2, "orders"))
        self.assertEqual(first, {"topics": ["load"], "worker": "w1", "max": 1, "wait": "8s", "lease": "60s"})
        self.assertEqual(headers["Authorization"], "Bearer flw_x")

    def test_what_a_function_raises_is_its_result(self):
        def raising(error):
            def handler(_):
                raise error

            return result_of(handler, Task.of(leased({})))

        self.assertEqual(raising(Warn("w")), {"result": "warn", "msg": "w"})
        self.assertEqual(raising(Alert("a")), {"result": "alert", "msg": "a"})
        self.assertEqual(raising(ValueError("v")), {"result": "error", "msg": "ValueError: v"})
        self.assertEqual(raising(SystemExit(3)), {"result": "error", "msg": "SystemExit: 3"})
        self.assertEqual(result_of(lambda _: {"x": object()}, Task.of(leased({})))["result"], "error")
        self.assertEqual(len(raising(Warn("w" * 50_000))["msg"]), 10_000)

    def test_heartbeats_say_how_far_it_is(self):
        with FakeService({}) as service:

            def handler(task):
                task.report(progress=0.5, msg="half")
                service.until("heartbeat", 2)

            self.run_one(handler, service, lease_seconds=0.1)
            self.assertEqual(service.bodies("heartbeat")[1], {"progress": 0.5, "msg": "half"})

    def test_a_cancelled_task_ends_as_a_warning(self):
        with FakeService({}, answers={"heartbeat": [(200, {"cancel": True})]}) as service:
            (result,) = self.run_one(lambda task: {"late": task.wait(PATIENCE)}, service, lease_seconds=0.1)
            self.assertEqual(result, {"result": "warn", "msg": "stopped, as it was cancelled"})

    def test_a_lost_task_gets_no_result(self):
        waited = []
        answers = {"heartbeat": [(409, problem("lease_lost"))]}
        with FakeService({}, {"type": "next"}, answers=answers) as service:

            def handler(task):
                if task.type == "load":
                    waited.append(task.wait(PATIENCE))

            results = self.run_one(handler, service, lease_seconds=0.1)
        self.assertEqual((waited, len(results)), ([True], 1), "only the second task has a result")

    def test_a_result_is_posted_until_the_service_answers(self):
        answers = {"result": [(503, problem("storage")), (200, b"no JSON"), (500, b"")]}
        with FakeService({}, answers=answers) as service:
            pool = SlotPool(Service(service.url), [Job(["load"], lambda _: None)], "w1")
            pool.start()
            results = service.until("result", 4)
            pool.stop()
            self.assertTrue(pool.wait(PATIENCE))
        self.assertTrue(all(result == results[0] for result in results))

    def test_slots_work_beside_each_other(self):
        both = threading.Barrier(2, timeout=PATIENCE)
        with FakeService({}, {}) as service:
            pool = SlotPool(Service(service.url), [Job(["load"], lambda _: both.wait() and None, slots=2)], "w1")
            pool.start()
            results = service.until("result", 2)
            pool.stop()
            self.assertTrue(pool.wait(PATIENCE))
        self.assertEqual([result["result"] for result in results], ["complete", "complete"])

    def test_a_wrong_token_ends_the_worker_and_an_odd_answer_does_not(self):
        with FakeService(answers={"lease": [(200, {"odd": 1}), (401, problem("unauthorized"))]}) as service:
            pool = SlotPool(Service(service.url), [Job(["load"], lambda _: None)], "w1")
            pool.start()
            self.assertTrue(pool.wait(PATIENCE))
        self.assertEqual(pool.refusal, "401 what to change")

    def offsets(self, service):
        return [headers["Upload-Offset"] for end, _, headers in service.heard if end == "log"]

    def test_a_log_is_sent_before_the_result_and_has_what_a_function_raised(self):
        def handler(task):
            task.log("3 rows")
            raise ValueError("no disk")

        moved = (409, {**problem("log_offset"), "offset": 90})
        with FakeService({}, answers={"log": [moved]}) as service:
            self.run_one(handler, service)
            text = service.bodies("log")[-1]
            self.assertEqual(self.offsets(service), ["0", "90"], "an earlier worker wrote before")
            self.assertEqual([end for end, *_ in service.heard if end in ("log", "result")], ["log", "log", "result"])
        self.assertTrue(text.startswith("3 rows\nTraceback") and text.endswith("ValueError: no disk\n"), text)

    def test_a_log_goes_on_while_a_function_runs_also_when_the_service_was_away(self):
        answers = {"log": [(503, problem("busy")), (200, {"offset": 4})]}
        with FakeService({}, answers=answers) as service:

            def handler(task):
                task.log("one")
                service.until("log", 2)
                task.log("two")

            self.run_one(handler, service)
            self.assertEqual(service.bodies("log"), ["one\n", "one\n", "two\n"])
            self.assertEqual(self.offsets(service), ["0", "0", "4"])

    def test_a_service_without_logs_costs_a_task_nothing(self):
        with FakeService({}, answers={"log": [(404, problem("not_found"))]}) as service:
            (result,) = self.run_one(lambda task: task.log("text"), service)
        self.assertEqual((result["result"], len(service.bodies("log"))), ("complete", 1))

    def test_tasks_in_hand_are_released(self):
        with FakeService({}) as service:
            begun = threading.Event()

            def handler(task):
                begun.set()
                task.wait(PATIENCE)

            pool = SlotPool(Service(service.url), [Job(["load"], handler)], "w1")
            pool.start()
            self.assertTrue(begun.wait(PATIENCE))
            pool.release()
            self.assertTrue(pool.wait(PATIENCE))
            self.assertEqual((len(service.bodies("release")), service.bodies("result")), (1, []))


class Answers(unittest.TestCase):
    def post(self, status, answer):
        with FakeService(answers={"x": [(status, answer)]}) as service:
            return Service(service.url).post("/x", {})

    def test_each_error_says_what_follows(self):
        for status, answer, error in [
            (409, problem("lease_lost"), LeaseLost),
            (404, problem("lease_unknown"), LeaseLost),
            (404, problem("not_found"), Refused),
            (400, b"<html>", Refused),
            (429, problem("too_many_requests"), Away),
            (503, {"code": "busy"}, Away),
        ]:
            with self.subTest(status=status), self.assertRaises(error):
                self.post(status, answer)
        with self.assertRaises(Away):
            Service("http://127.0.0.1:9").post("/x", {})
        self.assertEqual(self.post(200, [1]), {})

    def test_meta_are_texts(self):
        self.assertEqual(texts_of({"a": True, "b": None, "c": 1.5, "d": "é"}), {"a": "true", "c": "1.5", "d": "é"})


class Commands(unittest.TestCase):
    def test_workers_are_declared_for_topics(self):
        for topics, options in [((), {}), (("a",), {"slots": 0}), (("a",), {"lease_seconds": 4})]:
            with self.assertRaises(ValueError):
                worker(*topics, **options)
        command.declared.clear()
        self.assertEqual(command.run(["--topic", "a"]), 2)
        worker("a", "b:c", slots=3)(print)
        worker("d")(print)
        self.assertEqual([job.topics for job in command.selected_jobs(None)], [["a", "b:c"], ["d"]])
        self.assertEqual([(job.topics, job.slots) for job in command.selected_jobs(["b:c"])], [(["b:c"], 3)])

    def test_signals_let_tasks_finish_and_then_release_them(self):
        program = (
            "from flowlord_worker import *\n"
            "@worker('load')\n"
            "def load(task): print('begun', flush=True); task.wait(60)\n"
            "raise SystemExit(run())\n"
        )
        with FakeService({}) as service:
            env = {**os.environ, "PYTHONPATH": str(FOLDER), "FLOWLORD_SERVER": service.url}
            words = [sys.executable, "-c", program]
            with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
                self.assertEqual(process.stdout.readline(), b"begun\n")
                process.send_signal(signal.SIGTERM)
                while b"event=stopping tasks=1" not in process.stderr.readline():
                    self.assertIsNone(process.poll())
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(PATIENCE), 130)
            self.assertEqual(len(service.bodies("release")), 1)


if __name__ == "__main__":
    unittest.main()
