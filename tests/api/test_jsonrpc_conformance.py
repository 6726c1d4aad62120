"""JSON-RPC 2.0 to the letter: every example of section 7 of the specification, and the edges around them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from mindswarm_exec.api.jsonrpc import Dispatcher, Method
from mindswarm_exec.errors import MoveRefused


class Params(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NoParams(Params):
    pass


class Subtraction(Params):
    minuend: int
    subtrahend: int


class Sum(Params):
    a: int
    b: int = 0
    c: int = 0
    d: int = 0
    e: int = 0


class Reordered(Params):
    optional: str = "none"
    required: str


calls: list[str] = []


async def subtract(_: None, params: Subtraction) -> int:
    return params.minuend - params.subtrahend


async def add(_: None, params: Sum) -> int:
    return params.a + params.b + params.c


async def note(_: None, params: Sum) -> None:
    calls.append(f"note {params.a}")


async def get_data(_: None, params: NoParams) -> list[Any]:
    return ["hello", 5]


async def refuse(_: None, params: NoParams) -> None:
    calls.append("refuse")
    raise MoveRefused("cannot pause execution 7: it is completed.", execution_id="7", status="completed")


async def fail(_: None, params: NoParams) -> None:
    raise RuntimeError("secret token 12345")


async def echo(_: None, params: Reordered) -> str:
    return f"{params.required} {params.optional}"


TABLE: list[Method[None]] = [
    Method("subtract", Subtraction, int, subtract, "subtracts"),
    Method("sum", Sum, int, add, "adds"),
    Method("update", Sum, None, note, "notes"),
    Method("notify_hello", Sum, None, note, "notes"),
    Method("notify_sum", Sum, None, note, "notes"),
    Method("get_data", NoParams, list[Any], get_data, "gets"),
    Method("refuse", NoParams, None, refuse, "refuses"),
    Method("fail", NoParams, None, fail, "fails"),
    Method("echo", Reordered, str, echo, "echoes"),
]


def ask(message: object) -> Any:
    """The reply to a message given as text, or as what to write as JSON; None for silence."""
    text = message if isinstance(message, str | bytes) else json.dumps(message)
    reply = asyncio.run(Dispatcher(TABLE, max_batch=5).dispatch(text, None))
    return None if reply is None else json.loads(reply)


def error(code: int, request_id: Any = None) -> dict[str, Any]:
    """An error as the examples show it; message and data are compared apart."""
    return {"jsonrpc": "2.0", "error": {"code": code}, "id": request_id}


def bare(reply: Any) -> Any:
    """A reply without the words of its errors, which the specification leaves open."""
    if isinstance(reply, list):
        return [bare(each) for each in reply]
    if isinstance(reply, dict) and "error" in reply:
        return {**reply, "error": {"code": reply["error"]["code"]}}
    return reply


# fmt: off
SECTION_7 = {
    "positional 1": (
        '{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}',
        {"jsonrpc": "2.0", "result": 19, "id": 1}),
    "positional 2": (
        '{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}',
        {"jsonrpc": "2.0", "result": -19, "id": 2}),
    "named 1": (
        '{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}',
        {"jsonrpc": "2.0", "result": 19, "id": 3}),
    "named 2": (
        '{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}',
        {"jsonrpc": "2.0", "result": 19, "id": 4}),
    "notification": ('{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}', None),
    "notification of an unknown method": ('{"jsonrpc": "2.0", "method": "foobar"}', None),
    "unknown method": ('{"jsonrpc": "2.0", "method": "foobar", "id": "1"}', error(-32601, "1")),
    "invalid JSON": ('{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', error(-32700)),
    "invalid request": ('{"jsonrpc": "2.0", "method": 1, "params": "bar"}', error(-32600)),
    "batch of invalid JSON": (
        '[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"}, {"jsonrpc": "2.0", "method" ]',
        error(-32700)),
    "empty batch": ("[]", error(-32600)),
    "invalid batch of one": ("[1]", [error(-32600)]),
    "invalid batch of three": ("[1,2,3]", [error(-32600)] * 3),
    "batch of notifications": (
        '[{"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},'
        ' {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}]', None),
}
# fmt: on


@pytest.mark.parametrize("name", SECTION_7)
def test_each_example_of_the_specification_is_answered_as_it_says(name: str) -> None:
    message, reply = SECTION_7[name]
    assert bare(ask(message)) == reply


def test_the_mixed_batch_of_the_specification_is_answered_as_it_says() -> None:
    batch = [
        {"jsonrpc": "2.0", "method": "sum", "params": [1, 2, 4], "id": "1"},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
        {"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": "2"},
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
    ]
    assert bare(ask(batch)) == [
        {"jsonrpc": "2.0", "result": 7, "id": "1"},
        {"jsonrpc": "2.0", "result": 19, "id": "2"},
        error(-32600),
        error(-32601, "5"),
    ]
    assert bare(ask([{"jsonrpc": "2.0", "method": "get_data", "id": "9"}])) == [
        {"jsonrpc": "2.0", "result": ["hello", 5], "id": "9"}
    ]


def test_errors_of_the_standard_carry_its_words_first() -> None:
    said = {
        code: ask(text)["error"]["message"]
        for code, text in {
            -32700: "{",
            -32600: "3",
            -32601: '{"jsonrpc":"2.0","method":"foo","id":1}',
            -32603: '{"jsonrpc":"2.0","method":"fail","id":1}',
        }.items()
    }
    assert said[-32700].startswith("Parse error")
    assert said[-32600].startswith("Invalid Request")
    assert said[-32601].startswith("Method not found")
    assert said[-32603].startswith("Internal error")


@pytest.mark.parametrize(
    "request_id", ["1", '"1"', "null", "1.5", "-3", "0", '""', "123456789012345678901234567890", '"ü\\u0000"']
)
def test_ids_come_back_as_they_were_sent(request_id: str) -> None:
    reply = ask(f'{{"jsonrpc":"2.0","method":"get_data","id":{request_id}}}')
    assert json.dumps(reply["id"]) == json.dumps(json.loads(request_id))
    assert reply["result"] == ["hello", 5]


@pytest.mark.parametrize("request_id", ["true", "[]", "{}", "1e999"])
def test_an_id_of_another_kind_is_refused(request_id: str) -> None:
    assert bare(ask(f'{{"jsonrpc":"2.0","method":"get_data","id":{request_id}}}')) == error(-32600)


@pytest.mark.parametrize(
    "request_text",
    [
        '{"method":"get_data","id":1}',
        '{"jsonrpc":"1.0","method":"get_data","id":1}',
        '{"jsonrpc":2.0,"method":"get_data","id":1}',
        '{"jsonrpc":"2.0","id":1}',
        '{"jsonrpc":"2.0","method":null,"id":1}',
        '{"jsonrpc":"2.0","method":"get_data","params":3,"id":1}',
        '{"jsonrpc":"2.0","method":"get_data","params":null,"id":1}',
    ],
)
def test_an_invalid_request_with_a_readable_id_is_refused_under_that_id(request_text: str) -> None:
    assert bare(ask(request_text)) == error(-32600, 1)


NO_JSON = {
    "empty": "",
    "blank": " ",
    "zero": "\x00",
    "too deep": "[" * 100_000,
    "NaN": '{"jsonrpc":"2.0","method":"get_data","id":NaN}',
    "no UTF-8": b'{"jsonrpc":"2.0","method":"get_data","id":"\xff"}',
    "endless number": '{"jsonrpc":"2.0","method":"get_data","id":1,"params":[' + "9" * 5000 + "]}",
    "half a character": '{"jsonrpc":"2.0","method":"get_data","id":"\\ud800"}',
    "trailing comma": '{"jsonrpc":"2.0","method":"get_data","id":1,}',
}


@pytest.mark.parametrize("name", NO_JSON)
def test_text_that_is_no_json_is_a_parse_error(name: str) -> None:
    assert bare(ask(NO_JSON[name])) == error(-32700)


def test_the_last_of_two_equal_keys_counts() -> None:
    assert ask('{"jsonrpc":"2.0","method":"foobar","method":"get_data","id":1}')["result"] == ["hello", 5]


def test_equal_ids_in_a_batch_are_each_answered() -> None:
    assert len(ask([{"jsonrpc": "2.0", "method": "get_data", "id": 1}] * 2)) == 2


def test_a_notification_that_fails_is_carried_out_and_stays_silent() -> None:
    calls.clear()
    assert ask({"jsonrpc": "2.0", "method": "refuse"}) is None
    assert ask([{"jsonrpc": "2.0", "method": "refuse"}, {"jsonrpc": "2.0", "method": "sum", "params": []}]) is None
    assert calls == ["refuse", "refuse"]


def test_a_call_with_id_null_is_no_notification() -> None:
    assert ask({"jsonrpc": "2.0", "method": "update", "params": [1], "id": None}) == {
        "jsonrpc": "2.0",
        "result": None,
        "id": None,
    }


def test_requests_of_a_batch_run_in_order() -> None:
    calls.clear()
    ask([{"jsonrpc": "2.0", "method": "update", "params": [n]} for n in range(5)])
    assert calls == [f"note {n}" for n in range(5)]


def test_params_by_position_put_required_ones_first() -> None:
    assert ask({"jsonrpc": "2.0", "method": "echo", "params": ["a"], "id": 1})["result"] == "a none"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"minuend": 1}, "subtract: subtrahend is missing"),
        ({"minuend": 1, "subtrahend": 2, "subtrahent": 3}, "did you mean 'subtrahend'?"),
        ({"minuend": "secret", "subtrahend": 2}, "minuend must be a valid integer"),
        ([1, 2, 3], "3 params by position, but it takes at most 2: minuend, subtrahend"),
    ],
)
def test_params_that_do_not_fit_are_refused_in_one_sentence_without_their_values(params: Any, words: str) -> None:
    reply = ask({"jsonrpc": "2.0", "method": "subtract", "params": params, "id": 1})
    assert reply["error"]["code"] == -32602
    assert words in reply["error"]["message"]
    assert "secret" not in json.dumps(reply)


def test_a_typed_error_keeps_its_code_sentence_and_facts() -> None:
    assert ask({"jsonrpc": "2.0", "method": "refuse", "id": 1})["error"] == {
        "code": -32005,
        "message": "cannot pause execution 7: it is completed.",
        "data": {"code": "move_refused", "execution_id": "7", "status": "completed"},
    }


def test_an_unexpected_error_tells_nothing_of_itself() -> None:
    reply = ask({"jsonrpc": "2.0", "method": "fail", "id": 1})
    assert reply["error"]["code"] == -32603
    assert "12345" not in json.dumps(reply)


def test_a_batch_over_the_limit_is_refused_whole() -> None:
    calls.clear()
    reply = ask([{"jsonrpc": "2.0", "method": "update", "params": [1], "id": 1}] * 6)
    assert reply["error"]["data"] == {"code": "payload_too_large", "requests": 6, "limit": 5}
    assert calls == []
