"""Everything started by Celery's own command, and a Celery program at the front door that imports nothing of ours."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, Self

import pytest
from celery import Celery

from mindswarm_exec.lifecycle import COMPLETED
from mindswarm_exec.models.records import Execution
from tests.e2e.celery_program import CeleryProgram
from tests.e2e.swarm import HANDLERS, Swarm
from tests.eventually import eventually, must_be, must_hold

#: What another project would write. Prints whether it succeeded without our code.
STRANGER = """
import sys
from celery import Celery
app = Celery(broker=sys.argv[1], backend=sys.argv[1])
sent = app.send_task("mindswarm.execution.start", kwargs={"task_type": "echo", "payload": "from afar"},
                     queue="swarm.executions", priority=3)
print(sent.get(timeout=20)["execution_id"], not any(name.startswith("mindswarm") for name in sys.modules))
"""


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    with Swarm(tmp_path_factory.mktemp("plain")) as swarm:
        agent = {"MINDSWARM_AGENT": HANDLERS, "MINDSWARM_AGENT_NAME": "plain"}
        swarm.plain_celery("agent", "-A", "workers.agent", "worker", "-E", "-n", "plain@%h", **agent)
        swarm.plain_celery("dispatcher", "-A", "workers.dispatcher", "worker")
        swarm.plain_celery("beat", "-A", "scheduler.beat", "beat")
        swarm.await_agents("plain")
        swarm.await_dispatcher()
        yield swarm


@pytest.fixture(scope="module")
def program(swarm: Swarm) -> Iterator[CeleryProgram]:
    with CeleryProgram(swarm) as program:
        yield program


class Watcher:
    """Collects Celery's task events, as Flower does."""

    def __init__(self, url: str) -> None:
        self.seen: list[dict[str, Any]] = []
        self._app = Celery(broker=url, set_as_current=False)
        self._connection = self._app.connection_for_read()
        self._receiver = self._app.events.Receiver(self._connection, handlers={"*": self.seen.append})
        self._thread = threading.Thread(target=self._receiver.capture, kwargs={"wakeup": False})

    def __enter__(self) -> Self:
        self._thread.start()
        eventually(lambda: must_hold(self.of_type("worker-heartbeat")), 20_000)
        return self

    def __exit__(self, *_: object) -> None:
        self._receiver.should_stop = True
        self._thread.join(10)
        self._connection.release()
        self._app.close()

    def of_type(self, event_type: str) -> list[dict[str, Any]]:
        return [event for event in list(self.seen) if event["type"] == event_type]

    def attempts(self, event_type: str, ids: list[str]) -> list[str]:
        """The attempts of these executions of which an event of that type told, sorted."""
        told = [event["uuid"] for event in self.of_type(event_type)]
        return sorted(attempt for attempt in told if attempt.partition(".")[0] in ids)


def test_a_stranger_gets_its_answer_and_its_work_runs(swarm: Swarm) -> None:
    stranger = swarm.process("stranger", "-c", STRANGER, swarm.server.url, PYTHONPATH="")
    assert stranger.exit_code() == 0
    execution_id, without_our_code = stranger.log.split()[-2:]
    assert without_our_code == "True"
    ended = swarm.await_end(execution_id)
    assert (ended.status, ended.agent_id, ended.result) == (COMPLETED, "plain", "from afar")


def test_the_answer_at_the_front_door_is_the_execution(swarm: Swarm, program: CeleryProgram) -> None:
    params = {"task_type": "echo", "payload": {"n": 1}, "project_id": "shop", "options": {"tags": ["a"]}}
    answer = program.start(params | {"idempotency_key": "order-1"})
    told = Execution.model_validate(answer)
    assert (told.task_type, told.project_id, told.tags, told.payload) == ("echo", "shop", ("a",), {"n": 1})
    assert swarm.await_end(told.execution_id).result == {"n": 1}
    assert program.start(params | {"idempotency_key": "order-1"})["execution_id"] == told.execution_id
    actor = swarm.events(told.execution_id)[0]["data"]["actor"]
    assert (actor["name"], actor["via"]) == ("client", "celery")
    assert "@" in actor["address"]  # the node that sent the message


@pytest.mark.parametrize(
    ("params", "code", "word", "says"),
    [
        ({"task_typ": "echo"}, -32602, "invalid_request", "did you mean 'task_type'"),
        ({}, -32602, "invalid_request", "name the work"),
        ({"task_type": "echo", "options": {"priority": 11}}, -32602, "invalid_request", "options.priority"),
        ({"task_type": "echo", "options": {"agent": {"agent_id": "plane"}}}, -32003, "unknown_agent", "'plain'"),
        ({"task_id": "nowhere"}, -32004, "unknown_task", "create it first"),
        ({"task_type": "echo", "payload": "x" * 1_100_000}, -32010, "payload_too_large", "1048576"),
    ],
)
def test_bad_params_at_the_front_door_get_the_typed_error(
    program: CeleryProgram, params: dict[str, Any], code: int, word: str, says: str
) -> None:
    error = program.start(params)["error"]
    assert (error["code"], error["data"]["code"]) == (code, word)
    assert says in error["message"]


def test_positional_params_at_the_front_door_are_refused_with_advice(program: CeleryProgram) -> None:
    error = program.start({}, "echo", {"n": 1})["error"]
    assert error["code"] == -32602
    assert "kwargs" in error["message"]


def test_urgent_messages_are_answered_first_at_the_front_door(swarm: Swarm, program: CeleryProgram) -> None:
    dispatcher = swarm.named("dispatcher")
    dispatcher.freeze()
    bulk = [program.send({"task_type": "echo"}, priority=9) for _ in range(40)]
    urgent = program.send({"task_type": "echo"}, priority=0)  # on Redis Celery's 0 is the most urgent
    dispatcher.thaw()
    created = urgent.get(timeout=20)["created_at"]
    answers = [answer.get(timeout=20) for answer in bulk]
    before = [answer for answer in answers if answer["created_at"] < created]
    assert len(before) <= 5, "more than the reader and its threads already had in hand"
    for answer in answers:
        swarm.await_end(answer["execution_id"])


def test_task_events_show_every_attempt_once_under_its_task_type_and_nothing_else(swarm: Swarm) -> None:
    swarm.await_load("plain", 0)
    with Watcher(swarm.server.url) as watcher:
        ids = [swarm.start("echo", n) for n in range(12)]
        failing = swarm.start("fail", {"until": 2}, retry_policy={"max_attempts": 2, "initial_delay_seconds": 0})
        for execution_id in (*ids, failing):
            assert swarm.await_end(execution_id).status is COMPLETED
        everything = [*ids, failing]
        fine = sorted([*(f"{execution_id}.1" for execution_id in ids), f"{failing}.2"])
        eventually(lambda: must_be(watcher.attempts("task-succeeded", everything), fine))
        assert watcher.attempts("task-failed", everything) == [f"{failing}.1"]
        for event_type in ("task-received", "task-started"):
            assert watcher.attempts(event_type, everything) == sorted([*fine, f"{failing}.1"])
        names = {event["uuid"]: event["name"] for event in watcher.of_type("task-received")}
        assert (names[f"{ids[0]}.1"], names[f"{failing}.2"]) == ("echo", "fail")
        assert not {name for name in names.values() if name.startswith("mindswarm.")}


def test_celerys_own_commands_end_in_order_on_sigterm(swarm: Swarm) -> None:
    for name in ("agent", "dispatcher", "beat"):
        swarm.named(name).terminate()
    for name in ("agent", "dispatcher", "beat"):
        assert swarm.named(name).exit_code() == 0, name
    swarm.await_agents("plain", state="offline")


#: Variables of a worker that is set up wrongly, and what it says.
WRONG: list[tuple[dict[str, str], str]] = [
    ({}, "set MINDSWARM_AGENT to MODULE:ATTR"),
    ({"MINDSWARM_AGENT": "tests.e2e.handlers:nobody"}, "cannot load the agent"),
    ({"MINDSWARM_AGENT": HANDLERS, "MINDSWARM_AGENT_NAME": "No Name"}, "agent_id does not have the form"),
    ({"MINDSWARM_AGENT": HANDLERS, "MINDSWARM_LEASE_SECONDS": "soon"}, "MINDSWARM_LEASE_SECONDS does not fit"),
]


def test_a_worker_that_is_set_up_wrongly_says_how_in_one_line(swarm: Swarm) -> None:
    workers = [
        swarm.plain_celery(f"wrong-{number}", "-A", "workers.agent", "worker", **variables)
        for number, (variables, _) in enumerate(WRONG)
    ]
    for worker, (_, says) in zip(workers, WRONG, strict=True):
        assert worker.exit_code() != 0
        assert says in worker.log
        assert "Traceback" not in worker.log
