"""What runs in the forked child: the handler, with a context that speaks over the channel."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import inspect
import itertools
import json
import math
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NoReturn, cast

from pydantic import BaseModel, JsonValue
from pydantic_core import from_json, to_json

from mindswarm_exec.agent import Agent, CommandHandler, Handler
from mindswarm_exec.command import Command, CommandNotFound
from mindswarm_exec.context import AttemptReporter, ExecutionCancelled, ExecutionContext, SyncExecutionContext
from mindswarm_exec.errors import PayloadTooLarge
from workers.isolation import wire
from workers.isolation.kernel import die_with_parent

#: Signals that the zygote blocks; a child takes them once it can.
BLOCKED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def live(agent: Agent, zygote: int, channel_fd: int, output_fd: int, errors_fd: int) -> NoReturn:
    """Run the one attempt that the channel names, tell how it ended, and exit."""
    os.setsid()
    die_with_parent(signal.SIGKILL)
    if os.getppid() != zygote:
        os._exit(1)
    stop = Stop()
    for number in BLOCKED:
        signal.signal(number, signal.SIG_DFL)
    stop.install()
    os.dup2(output_fd, 1)
    os.dup2(errors_fd, 2)
    # new ones: those of the zygote may be buffered for a file, and cannot be told otherwise on a pipe
    sys.stdout, sys.stderr = (
        open(number, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        for number in (1, 2)
    )
    channel = Channel(socket.socket(fileno=channel_fd), stop)
    _attend(agent, channel, stop)
    os._exit(0)


def _attend(agent: Agent, channel: Channel, stop: Stop) -> None:
    own_pid = os.getpid()
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)
        order = channel.receive_start()
        _limit(order["limits"])
        ending = _perform(agent.handlers[order["task_type"]], order, channel, stop)
        stop.ignore()
    except BaseException as error:  # noqa: BLE001  whatever a handler raises, sys.exit() too, is its outcome
        stop.ignore()
        ending = wire.packed_json(wire.FAILURE, wire.told(error))
    if os.getpid() != own_pid:
        os._exit(1)  # the handler forked, and the copy came back here: it does not speak for the attempt
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):  # a logger may hold the original
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()  # type: ignore[union-attr]
    channel.send(ending)


def _perform(handler: Handler, order: dict[str, Any], channel: Channel, stop: Stop) -> bytes:
    """Call the handler; the frame that tells its result."""
    arguments = (handler.parse(order["payload"]),) if handler.takes_payload else ()
    facts = wire.AttemptFacts.model_validate(order["facts"])
    _name_trace(facts)
    if isinstance(handler, CommandHandler):
        _execute(handler.command, *arguments)
    reporter = cast(AttemptReporter, RemoteReporter(channel, stop, facts))
    if inspect.iscoroutinefunction(handler.function):
        result = asyncio.run(_awaited(handler.function(ExecutionContext(reporter), *arguments), stop))
    else:
        result = handler.function(SyncExecutionContext(reporter), *arguments)
    encoded = _rendered(handler, result)
    if len(encoded) > order["max_payload_bytes"]:
        raise PayloadTooLarge.of("the result", len(encoded), order["max_payload_bytes"])
    return wire.packed(wire.RESULT, encoded)


def _name_trace(facts: BaseModel) -> None:
    """Programs find the trace in the environment, but not the one that the agent itself was started in."""
    for name in ("traceparent", "tracestate"):
        os.environ.pop(name.upper(), None)
        if value := getattr(facts, name):
            os.environ[name.upper()] = value


def _rendered(handler: Handler, result: Any) -> bytes:
    try:
        encoded = handler.render(result)
        from_json(encoded)  # what is stored can be read: no number too long, no nesting too deep
    except ValueError as error:
        raise TypeError(f"the result is not JSON: {type(error).__name__}") from None
    return encoded


async def _awaited(coroutine: Any, stop: Stop) -> Any:
    """Await the handler as a task that SIGTERM cancels."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(coroutine)
    # asked from a signal handler of the main thread, which is the loop's: the loop may be asleep
    stop.act = partial(loop.call_soon_threadsafe, task.cancel)
    try:
        return await task
    finally:
        stop.act = stop.ignore


def _limit(limits: dict[str, Any]) -> None:
    """Set the ceilings of the kernel. The supervising side measures the whole tree, and mostly comes first."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if (memory_mb := limits.get("memory_mb")) is not None:
        _lower(resource.RLIMIT_DATA, _data_bytes() + memory_mb * 2**20)
    if (cpu_seconds := limits.get("cpu_seconds")) is not None:
        _lower(resource.RLIMIT_CPU, math.ceil(cpu_seconds) + 1)


def _lower(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    if hard == resource.RLIM_INFINITY or value < hard:
        resource.setrlimit(limit, (value, value))


def _data_bytes() -> int:
    """Private writable memory as the kernel counts it for RLIMIT_DATA: what was forked is not the handler's."""
    with open("/proc/self/status", "rb") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(b"VmData:"))


def _execute(command: Command, payload: BaseModel | None) -> NoReturn:
    """Become the program. The channel closes with the exec; its exit status is the answer."""
    argv = command.fill(payload)
    if command.cwd is not None:
        try:
            os.chdir(command.cwd)
        except FileNotFoundError:
            raise CommandNotFound(f"the directory '{command.cwd}' does not exist here") from None
    for number in (signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(argv[0], argv, os.environ | command.env)  # noqa: S606  no shell is the point
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise CommandNotFound(f"'{argv[0]}' is not a program on this agent's machine") from None
        raise


class Stop:
    """SIGTERM as `ExecutionCancelled` in the main thread, but never in the middle of a frame. Once only."""

    def __init__(self) -> None:
        self.was_asked = False
        self.act: Callable[[], Any] = self._raise
        self._in_frame = False
        self._is_owed = False

    def install(self) -> None:
        signal.signal(signal.SIGTERM, self._on_signal)

    def ignore(self) -> None:
        """What ends the attempt is decided: let nothing interrupt telling it."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    @contextlib.contextmanager
    def whole_frame(self) -> Iterator[None]:
        """Put the exception off to the end of the block. Signals reach Python in the main thread only."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._in_frame = True
        try:
            yield
        finally:
            self._in_frame = False
            if self._is_owed:
                self._is_owed = False
                self._raise()

    def _on_signal(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.was_asked = True
        self.act()

    def _raise(self) -> None:
        if self._in_frame:
            self._is_owed = True
            return
        raise ExecutionCancelled("stopped by the agent")


class _Call:
    """A call on its way; `answered` is set when `answer` has come."""

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.answer: dict[str, Any] = {}


class Channel:
    """The child's end of the channel. Safe between threads; useless in a process forked from this one."""

    def __init__(self, line: socket.socket, stop: Stop) -> None:
        self._line = line
        self._stop = stop
        self._owner = os.getpid()
        self._sending = threading.Lock()
        self._calls: dict[int, _Call] = {}
        self._numbers = itertools.count(1)
        self._reader: threading.Thread | None = None

    def receive_start(self) -> dict[str, Any]:
        length, kind = wire.HEAD.unpack(self._exactly(wire.HEAD.size))
        assert kind == wire.START, f"the first frame starts the attempt, not {kind!r}"
        found: dict[str, Any] = json.loads(self._exactly(length))
        return found

    def send(self, frame: bytes) -> None:
        """Send a frame; waits while the agent does not keep up."""
        if os.getpid() != self._owner:
            raise RuntimeError("the context belongs to the process that the handler began in, not to those it forks")
        with self._stop.whole_frame(), self._sending:
            self._line.sendall(frame)

    def call(self, method: str, positional: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Call a method of the attempt in the agent, and wait for the answer."""
        number, call = next(self._numbers), _Call()
        self._calls[number] = call
        body = to_json({"id": number, "method": method, "positional": positional, "named": named})
        self._listen()
        self.send(wire.packed(wire.CALL, body))
        call.answered.wait()
        if "error" in call.answer:
            raise wire.raised_by_call(call.answer["error"])
        return call.answer["value"]

    def _listen(self) -> None:
        with self._stop.whole_frame(), self._sending:
            if self._reader is None:
                self._reader = threading.Thread(target=self._read, name="answers", daemon=True)
                self._reader.start()

    def _read(self) -> None:
        while True:
            length, _ = wire.HEAD.unpack(self._exactly(wire.HEAD.size))
            answer = json.loads(self._exactly(length))
            call = self._calls.pop(answer["id"])
            call.answer = answer
            call.answered.set()

    def _exactly(self, count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            piece = self._line.recv(count - len(found))
            if not piece:
                os._exit(1)  # the agent is gone
            found += piece
        return bytes(found)


class RemoteReporter:
    """An AttemptReporter whose calls are carried out in the agent; its attributes came with the start."""

    def __init__(self, channel: Channel, stop: Stop, facts: BaseModel) -> None:
        self._channel = channel
        self._stop = stop
        for name in type(facts).model_fields:
            setattr(self, name, getattr(facts, name))

    def progress(self, fraction: float, message: str) -> None:
        self._tell("progress", float(fraction), str(message)[: wire.MAX_MESSAGE])

    def output(self, chunk: str, stream: str) -> None:
        for start in range(0, len(chunk), wire.OUTPUT_PIECE):
            self._tell("output", chunk[start : start + wire.OUTPUT_PIECE], stream)

    def checkpoint(self, state: dict[str, JsonValue]) -> None:
        self._channel.call("checkpoint", (state,), {})
        self.checkpoint_state = state

    def raise_if_stopped(self) -> None:
        if self._stop.was_asked:
            raise ExecutionCancelled("stopped by the agent")

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in wire.CALLS:
            raise AttributeError(name)
        return lambda *positional, **named: self._channel.call(name, positional, named)

    def _tell(self, method: str, *arguments: Any) -> None:
        self._channel.send(wire.packed_json(wire.NEWS, [method, *arguments]))
