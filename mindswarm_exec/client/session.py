"""One WebSocket conversation, as scripts: calls, the notifications between them, and connecting again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Any, TypeVar

from mindswarm_exec.client.calling import ANSWER_SECONDS, Connect, Dropped, Receive, Script, Send, Sleep
from mindswarm_exec.client.wire import Address, Call, encode, outcome, parse
from mindswarm_exec.errors import MindSwarmError

T = TypeVar("T")
Notification = dict[str, Any]

#: The record itself is looked at this often, should the news of an end have been lost.
RECHECK_SECONDS = 5.0
#: An API that is away for longer is given up.
PATIENCE_SECONDS = 60.0
#: Waits between attempts to connect.
_BACKOFF_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0)


class Session:
    """Calls and notifications of one connection at a time. Raises Dropped where it breaks."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._notifications: deque[Notification] = deque()
        self._failures = 0
        self._failing_since = 0.0

    def connect(self) -> Script[None]:
        """Have a connection with nothing of an earlier one left over."""
        self._notifications.clear()
        yield Connect()

    def call(self, call: Call[T]) -> Script[T]:
        """Make one call. Raises what the server raised."""
        (answer,) = yield from self.call_all([call])
        if isinstance(answer, MindSwarmError):
            raise answer
        return answer

    def call_all(self, calls: Sequence[Call[T]]) -> Script[list[T | MindSwarmError]]:
        """Make calls one behind the other, without waiting between. The answers in their order; errors as values."""
        asked: dict[int, Call[T]] = {}
        for call in calls:
            request_id, text = encode(call)
            asked[request_id] = call
            yield Send(text)
        answers: dict[int, T | MindSwarmError] = {}
        deadline = time.monotonic() + ANSWER_SECONDS
        while len(answers) < len(asked):
            if (remaining := deadline - time.monotonic()) <= 0:
                raise Dropped("no answer in time")
            message = yield from self._message(remaining)
            request_id = message.get("id", 0)
            if request_id in asked:
                self._failures = 0
                try:
                    answers[request_id] = asked[request_id].read(outcome(message))
                except MindSwarmError as error:
                    answers[request_id] = error
                deadline = time.monotonic() + ANSWER_SECONDS
            elif "method" in message:
                self._notifications.append(message)
        return [answers[request_id] for request_id in asked]

    def notification(self, seconds: float) -> Script[Notification | None]:
        """The next notification, or None after `seconds`."""
        deadline = time.monotonic() + seconds
        while not self._notifications:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return None
            yield from self._hear(remaining)
        return self._notifications.popleft()

    def news(self, seconds: float) -> Script[list[Notification]]:
        """All notifications that have come. If there are none, whatever comes next: at most one; none, if the wait
        is cut short or lasts `seconds`."""
        if not self._notifications:
            yield from self._hear(seconds)
        found = list(self._notifications)
        self._notifications.clear()
        return found

    def recover(self, cause: Exception, patience_seconds: float) -> Script[None]:
        """Wait before connecting again. Raises ApiUnavailable once patience has run out."""
        now = time.monotonic()
        if self._failures == 0:
            self._failing_since = now
        if now - self._failing_since >= patience_seconds:
            raise self._address.unavailable(str(cause)) from None
        yield Sleep(_BACKOFF_SECONDS[min(self._failures, len(_BACKOFF_SECONDS) - 1)])
        self._failures += 1

    def _hear(self, seconds: float) -> Script[None]:
        message = yield from self._message(seconds)
        if "method" in message:
            self._notifications.append(message)

    def _message(self, seconds: float) -> Script[dict[str, Any]]:
        text = yield Receive(seconds)
        message = {} if text is None else parse(text)
        return message if isinstance(message, dict) else {}
