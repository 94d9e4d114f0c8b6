"""What a task writes, on its way to the service."""

from __future__ import annotations

import logging
import threading

from .service import Away, LeaseLost, LogMoved, Refused, Service

log = logging.getLogger("flowlord_worker")

# Of text that the service doesn't take yet: the oldest goes.
MAX_WAITING_CHARS = 256 * 1024
# How long a result waits for the end of its log.
LAST_SECONDS = 5.0


class TaskLog:
    """Text of one attempt, sent every second. A task never fails for it."""

    def __init__(self, service: Service, path: str) -> None:
        self.service, self.path = service, path
        self._waiting, self._offset, self._is_refused = "", 0, False
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send_all, daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        with self._lock:
            self._waiting = (self._waiting + text)[-MAX_WAITING_CHARS:]

    def end(self) -> None:
        """Sends the rest: before the result, after which nothing is taken."""
        self._ended.set()
        self._thread.join(LAST_SECONDS)

    def _send_all(self) -> None:
        while not self._is_refused:
            is_last = self._ended.wait(1)
            self._send()
            if is_last:
                return

    def _send(self) -> None:
        with self._lock:
            text, self._waiting = self._waiting, ""
        # Twice, as the first answer may only say where the log goes on.
        for _ in range(2 if text else 0):
            try:
                self._offset = self.service.append(f"{self.path}/log", self._offset, text.encode())
                return
            except LogMoved as moved:
                self._offset = moved.offset
            except Away as error:
                log.debug("event=log_waits error=%s", error)
                with self._lock:
                    self._waiting = (text + self._waiting)[-MAX_WAITING_CHARS:]
                return
            except (LeaseLost, Refused) as error:
                # An older service, or a token that may not: nothing more is sent.
                log.warning("event=log_refused error=%s", error)
                self._is_refused = True
                return
