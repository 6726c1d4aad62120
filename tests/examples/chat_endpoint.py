"""A local endpoint that speaks OpenAI's streamed chat completions."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

TOKENS_A_CALL = 40


class ChatEndpoint:
    """Answers each prompt with three words in pieces.

    Attributes:
        asked: the requests that it answered, in whole or in part.
        faults: what becomes of the next requests: "429", "500", "break" after a word, or "hang" there until the other
            side leaves.
        left: set when the other side left a hanging answer.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.faults: list[str] = []
        self.left = threading.Event()
        endpoint = self

        class Answering(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                endpoint.answer(self)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, http: BaseHTTPRequestHandler) -> None:
        request = json.loads(http.rfile.read(int(http.headers["Content-Length"])))
        self.keys.add(http.headers["Authorization"])
        fault = self.faults.pop(0) if self.faults else ""
        if fault.isdigit():
            http.send_response(int(fault))
            http.send_header("Retry-After", "0.1")
            http.end_headers()
            return
        assert http.path == "/v1/chat/completions"
        assert request["stream"]
        self.asked.append(request)
        http.send_response(200)
        http.send_header("Content-Type", "text/event-stream")
        http.end_headers()
        for piece in ("Ants ", "walk ", "far."):
            self._send(http, {"choices": [{"index": 0, "delta": {"content": piece}}]})
            if fault == "hang":
                http.rfile.read()  # until the connection is closed
                self.left.set()
            if fault:
                return
        self._send(http, {"choices": [], "usage": {"total_tokens": TOKENS_A_CALL}})
        http.wfile.write(b"data: [DONE]\n\n")

    def _send(self, http: BaseHTTPRequestHandler, chunk: dict[str, Any]) -> None:
        http.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        http.wfile.flush()
