"""The SDK: an agent, and the handlers that it offers.

coder = Agent("coder", capabilities={"python"}, labels={"region": "eu"})

@coder.task("code.survey")
async def survey(ctx: ExecutionContext, payload: SurveyRequest) -> SurveyReport: ...
"""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

from mindswarm_exec.command import Command, CommandResult
from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.models.records import AgentProfile, HandlerInfo
from mindswarm_exec.models.validation import invalid_request

F = TypeVar("F", bound=Callable[..., Any])
Isolation = Literal["async", "thread", "process"]
LabelValue = str | bool | int | float
#: What runs when an agent starts, goes to sleep or wakes: plain or async, without arguments.
Hook = Callable[[], Awaitable[None] | None]
H = TypeVar("H", bound=Hook)


class InvalidPayload(Exception):
    """The payload does not fit the handler's annotation. No retry can help."""


@dataclass(frozen=True)
class Handler:
    """One task type as an agent implements it. Annotations validate what goes in and what comes out."""

    task_type: str
    function: Callable[..., Any]
    isolation: Isolation

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return get_type_hints(self.function)

    @cached_property
    def takes_payload(self) -> bool:
        return len(inspect.signature(self.function).parameters) > 1

    @cached_property
    def payload_adapter(self) -> TypeAdapter[Any]:
        """Of the second parameter's annotation; anything goes where there is none."""
        names = list(inspect.signature(self.function).parameters)
        return TypeAdapter(self._hints.get(names[1], Any) if self.takes_payload else Any)

    @cached_property
    def result_adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self._hints.get("return", Any))

    def parse(self, payload_json: str) -> Any:
        """The payload as the handler wants it.

        Raises:
            InvalidPayload: it does not fit; the message names the fields, not their values.
        """
        try:
            return self.payload_adapter.validate_json(payload_json)
        except ValidationError as error:
            raise InvalidPayload(str(invalid_request(error, f"payload of '{self.task_type}'"))) from None

    def render(self, result: Any) -> bytes:
        """The result as JSON. Raises PydanticSerializationError where it is none."""
        return self.result_adapter.dump_json(result)

    def info(self) -> HandlerInfo:
        """What the agent says of this handler when it registers: its JSON Schemas."""
        return HandlerInfo(
            isolation=self.isolation,
            payload_schema=self.payload_adapter.json_schema() if self.takes_payload else None,
            result_schema=self.result_adapter.json_schema(mode="serialization"),
        )


@dataclass(frozen=True)
class CommandHandler(Handler):
    """A program as the handler of a task type; `function` makes its argument list of the payload."""

    command: Command

    @cached_property
    def takes_payload(self) -> bool:
        return True

    @cached_property
    def payload_adapter(self) -> TypeAdapter[Any]:
        """Of the placeholders; where there are none the payload may be left out."""
        model: Any = self.command.payload
        return TypeAdapter(model if model.model_fields else model | None)

    @cached_property
    def result_adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(CommandResult)


class Agent:
    """A named worker: what it can do, and how much at once.

    Args:
        name: lower-case letters, digits, `.`, `_`, `-`; the default of `--name`.
        capabilities: names that `required_capabilities` of an execution asks for.
        labels: values that `constraints` compare.
        max_concurrent: slots; 1 to 1000.
        sleep_after_seconds: how long it holds nothing before it goes to sleep; above 0. None: as the setting says.

    Raises:
        InvalidRequest: `sleep_after_seconds` is not above 0, or has no end.
    """

    def __init__(
        self,
        name: str,
        *,
        capabilities: Iterable[str] = (),
        labels: Mapping[str, LabelValue] | None = None,
        max_concurrent: int = 3,
        sleep_after_seconds: float | None = None,
    ) -> None:
        if sleep_after_seconds is not None and not 0 < sleep_after_seconds < math.inf:
            raise InvalidRequest(
                f"sleep_after_seconds of agent '{name}' must be above 0 and finite; leave it out for never."
            )
        self.name = name
        self.capabilities = frozenset(capabilities)
        self.labels = dict(labels or {})
        self.max_concurrent = max_concurrent
        self.sleep_after_seconds = sleep_after_seconds
        self.handlers: dict[str, Handler] = {}
        self.start_hooks: list[Hook] = []
        self.sleep_hooks: list[Hook] = []
        self.wake_hooks: list[Hook] = []
        self.cancel_hooks: list[Callable[[Any], Any]] = []

    def task(self, task_type: str, *, isolation: Isolation | None = None) -> Callable[[F], F]:
        """Offer a function as the handler of a task type.

        `isolation` is where it runs: "async" (the agent's event loop; the default of `async def`), "thread" (the
        Celery thread pool; the default of `def`), or "process" (a process of its own, for either): that one is held
        to its resource limits, and can be frozen and killed.

        Raises:
            InvalidRequest: the name is taken or malformed, or the isolation does not fit the function.
        """

        def offer(function: F) -> F:
            is_async = inspect.iscoroutinefunction(function)
            chosen: Isolation = isolation or ("async" if is_async else "thread")
            if chosen not in typing.get_args(Isolation):
                raise InvalidRequest(
                    f"isolation of '{task_type}' is '{chosen}'; it can be 'async', 'thread' or 'process'."
                )
            if chosen != "process" and is_async != (chosen == "async"):
                kind = "an async def" if is_async else "a plain def"
                raise InvalidRequest(f"'{task_type}' is {kind}, which cannot run with isolation '{chosen}'.")
            self._offer(Handler(task_type, function, chosen))
            return function

        return offer

    def command(
        self,
        task_type: str,
        argv: Sequence[str],
        *,
        ok_codes: Sequence[int] = (0,),
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Offer a program as the handler of a task type; it runs as a process handler does, without a shell.

        `{name}` in an argument is filled from the payload, an object of strings and numbers; `{{` is a brace. What
        begins an argument must not begin with `-`, unless `--` stands before it. Output arrives as
        `execution.output`. An exit code that is not in `ok_codes` fails the execution as `CommandFailed`.

        Raises:
            InvalidRequest: the name is taken, or the argument list cannot be run safely.
        """
        command = Command.checked(task_type, argv, ok_codes, cwd=cwd, env=dict(env or {}))
        self._offer(CommandHandler(task_type, command.fill, "process", command))

    def _offer(self, handler: Handler) -> None:
        if handler.task_type in self.handlers:
            raise InvalidRequest(f"agent '{self.name}' offers '{handler.task_type}' twice; drop one of the handlers.")
        self.handlers[handler.task_type] = handler

    def on_start(self, function: H) -> H:
        """Run it once, before the agent first opens for work. If it fails, the agent's process ends.

        It may be plain or async, and takes no arguments. Raises InvalidRequest if it does.
        """
        return self._hook(self.start_hooks, function)

    def on_sleep(self, function: H) -> H:
        """Run it each time the agent goes to sleep; if it fails, that is logged. As `on_start` else."""
        return self._hook(self.sleep_hooks, function)

    def on_wake(self, function: H) -> H:
        """Run it before a sleeping agent opens for work; if it fails, the agent sleeps on. As `on_start` else."""
        return self._hook(self.wake_hooks, function)

    def on_cancel(self, function: F) -> F:
        """Run it with one argument for each attempt that is cancelled here."""
        self.cancel_hooks.append(function)
        return function

    def _hook(self, hooks: list[Hook], function: H) -> H:
        if inspect.signature(function).parameters:
            raise InvalidRequest(f"'{function.__name__}' is a hook of agent '{self.name}': it takes no arguments.")
        hooks.append(function)
        return function

    def profile(self, name: str | None = None) -> AgentProfile:
        """What it registers with.

        Raises:
            InvalidRequest: a name does not fit, or it offers nothing.
        """
        if not self.handlers:
            raise InvalidRequest(f"agent '{self.name}' offers no task type; add a handler with @agent.task(...).")
        try:
            return AgentProfile(
                agent_id=name or self.name,
                task_types={task_type: handler.info() for task_type, handler in self.handlers.items()},
                capabilities=tuple(sorted(self.capabilities)),
                labels=self.labels,
                max_concurrent=self.max_concurrent,
            )
        except ValidationError as error:
            raise invalid_request(error, f"agent '{name or self.name}'", AgentProfile) from None
