"""The service, over HTTP."""

from __future__ import annotations

import http.client
import json
import logging
import random
import time
import urllib.error
import urllib.request
from typing import Any, Mapping, Optional

log = logging.getLogger("flowlord_worker")

# About four hours of a service that is away: then its leases are others' anyway.
MAX_POSTS = 1000
MAX_ANSWER_BYTES = 64 * 1024 * 1024


class LeaseLost(Exception):
    """The task is another worker's now, or has ended: there is nothing to post."""


class Refused(Exception):
    """An answer to a request that would be refused again."""


class Away(Exception):
    """No answer, or one that asks for another try after `pause` seconds."""

    def __init__(self, why: object, pause: float = 0.0) -> None:
        super().__init__(str(why))
        self.pause = pause


class LogMoved(Exception):
    """The log of a task goes on at another offset."""

    def __init__(self, why: object, offset: int) -> None:
        super().__init__(str(why))
        self.offset = offset


class Service:
    """Requests to one service, each on a connection of its own."""

    def __init__(self, url: str, token: Optional[str] = None) -> None:
        self.url = url.rstrip("/") + "/api/v1"
        self.headers = {"Content-Type": "application/json", "User-Agent": "flowlord-worker/0.1"}
        if token:
            self.headers["Authorization"] = f"Bearer {token}"

    def post(self, path: str, body: Mapping[str, Any], timeout: float = 30) -> dict[str, Any]:
        """Posts once."""
        return self._answer(urllib.request.Request(self.url + path, json.dumps(body).encode(), self.headers), timeout)

    def append(self, path: str, offset: int, piece: bytes) -> int:
        """Appends to the log of a task; answers where it goes on."""
        headers = {**self.headers, "Content-Type": "text/plain", "Upload-Offset": str(offset)}
        answer = self._answer(urllib.request.Request(self.url + path, piece, headers), 10)
        return int(answer.get("offset", offset + len(piece)))

    def _answer(self, request: urllib.request.Request, timeout: float) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                answer = json.loads(response.read(MAX_ANSWER_BYTES))
        except urllib.error.HTTPError as error:
            raise error_of(error) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Away(error) from None
        return answer if isinstance(answer, dict) else {}

    def post_until_answered(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Posts until the service answers: it may be restarting, and loses nothing that it acknowledged."""
        for attempt in range(MAX_POSTS):
            try:
                return self.post(path, body)
            except Away as away:
                seconds = max(away.pause, backoff(attempt))
                log.warning("event=service_away retry_in=%.1fs error=%s", seconds, away)
            time.sleep(seconds)
        raise Away("the service stayed away")


def backoff(attempt: int) -> float:
    """Longer and longer pauses up to 15 s, different for each worker."""
    return min(15.0, 0.25 * 2.0 ** min(attempt, 6)) * random.uniform(0.5, 1)


def error_of(error: urllib.error.HTTPError) -> Exception:
    """What follows from an error; its body is a problem with a `code`, and a `detail` that says what to change."""
    try:
        problem = json.loads(error.read(MAX_ANSWER_BYTES))
        code, detail = problem.get("code"), problem.get("detail") or error.reason
        if code == "log_offset":
            return LogMoved(detail, int(problem["offset"]))
    except (OSError, ValueError, AttributeError, KeyError, http.client.HTTPException):
        code, detail = None, error.reason
    if code in ("lease_lost", "lease_unknown", "already_finished"):
        return LeaseLost(detail)
    if error.code < 500 and error.code not in (408, 429):
        return Refused(f"{error.code} {detail}")
    try:
        pause = float(error.headers.get("Retry-After") or 0)
    except ValueError:
        pause = 0.0
    return Away(f"{error.code} {detail}", pause)
