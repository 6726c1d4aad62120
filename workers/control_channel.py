"""An agent's control channel: wishes that come faster than the renewals of its lease."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from redis import exceptions

from mindswarm_exec.ledger.faces import SyncLedger

log = logging.getLogger(__name__)

#: How long to listen before looking whether to end, and to wait after the channel was lost.
LISTEN_SECONDS, AGAIN_SECONDS = 1.0, 0.5


class ControlChannel:
    """Passes on what comes over the channel of one agent, until `ended`. Lost messages do no harm: renewals bring
    the same news.
    """

    def __init__(
        self, ledger: SyncLedger, agent_id: str, obey: Callable[[str], None], ended: threading.Event
    ) -> None:
        self._ledger = ledger
        self._agent_id = agent_id
        self._obey = obey
        self._ended = ended
        self._is_lost = False

    def open(self) -> None:
        """Begin to listen, in a thread of its own."""
        threading.Thread(target=self._listen, name="control", daemon=True).start()

    def _listen(self) -> None:
        while not self._ended.is_set():
            try:
                self._listen_on_one_connection()
            except exceptions.RedisError as error:
                self._note_lost(error)
            except Exception:  # a defect: the thread must not end of it
                log.exception("a message of the control channel could not be obeyed", extra=self._facts())
            self._ended.wait(AGAIN_SECONDS)

    def _listen_on_one_connection(self) -> None:
        with self._ledger.client.pubsub() as listener:
            listener.subscribe(self._ledger.keys.of("control", self._agent_id))
            while not self._ended.is_set():
                message = listener.get_message(timeout=LISTEN_SECONDS)
                if message is not None and message["type"] == "message":
                    self._obey(message["data"])
                elif message is not None:
                    self._is_lost = False  # subscribed

    def _note_lost(self, error: exceptions.RedisError) -> None:
        if not self._is_lost:
            facts = self._facts() | {"error_type": type(error).__name__}
            log.warning("lost the control channel; wishes come with the renewals of the lease", extra=facts)
        self._is_lost = True

    def _facts(self) -> dict[str, str]:
        return {"action": "control", "agent_id": self._agent_id}
