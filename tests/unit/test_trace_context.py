"""W3C Trace Context: what is one, what is none, and what is done with either."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mindswarm_exec.direct.requests import trace_of
from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.models.options import StartRequest
from mindswarm_exec.models.trace_context import TraceContext, checked_traceparent, checked_tracestate, context_in

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
IDS = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"

NO_TRACEPARENT = [
    "",
    "00",
    IDS,
    f"00-{IDS}",
    f"ff-{IDS}-01",
    f"00-{IDS}-1",
    f"00-{IDS}-01-more",
    f"00-{IDS.upper()}-01",
    f"00-{'0' * 32}-00f067aa0ba902b7-01",
    f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
    f"cc-{IDS}-01.what-the-future-brings",
    f"00-{IDS}-01\n",
    f"00-{IDS}-0g",
    PARENT + "," + PARENT,
]
NO_TRACESTATE = ["a", "a=", "=b", "A=b", "a=b\x7f", "a=ü", "a=b=c", "a=b,a=c", f"a={'b' * 257}", "a=b,é=c"]
NO_TRACESTATE += [",".join(f"k{number}=v" for number in range(33)), f"a={'b' * 256},c={'d' * 256}"]


@pytest.mark.parametrize("flags", ["00", "01", "02", "03"])
def test_a_traceparent_is_kept_as_it_is(flags: str) -> None:
    assert checked_traceparent(f"00-{IDS}-{flags}") == f"00-{IDS}-{flags}"


def test_flags_that_mean_nothing_yet_are_not_handed_on() -> None:
    assert checked_traceparent(f"00-{IDS}-ff") == f"00-{IDS}-03"


@pytest.mark.parametrize("later", [f"cc-{IDS}-01", f"cc-{IDS}-01-what-the-future-brings"])
def test_a_later_version_is_read_as_far_as_it_is_known(later: str) -> None:
    assert checked_traceparent(later) == PARENT


@pytest.mark.parametrize("text", NO_TRACEPARENT)
def test_what_names_no_span_is_refused_as_a_field_and_ignored_as_a_header(text: str) -> None:
    with pytest.raises(ValueError, match="traceparent"):
        checked_traceparent(text)
    with pytest.raises(ValidationError, match="traceparent"):
        StartRequest(task_type="t", traceparent=text)
    assert context_in({"traceparent": text, "tracestate": "a=b"}) is None


@pytest.mark.parametrize("text", ["a=b", "a=b,c=d", "tenant@vendor=1", "0a_-*/=~!x", "a= b"])
def test_a_tracestate_is_kept_as_it_is(text: str) -> None:
    assert checked_tracestate(text) == text


def test_empty_members_and_blanks_between_members_are_left_out() -> None:
    assert checked_tracestate(" a=b , ,\tc=d,") == "a=b,c=d"


@pytest.mark.parametrize("text", NO_TRACESTATE)
def test_what_is_no_tracestate_is_refused_as_a_field_and_as_a_header_ignored_without_the_parent(text: str) -> None:
    with pytest.raises(ValueError, match="tracestate"):
        checked_tracestate(text)
    with pytest.raises(ValidationError, match="tracestate"):
        StartRequest(task_type="t", traceparent=PARENT, tracestate=text)
    assert context_in({"traceparent": PARENT, "tracestate": text}) == TraceContext(PARENT, None)


def test_headers_of_anything_but_text_are_no_trace_context() -> None:
    assert context_in({}) is None
    assert context_in({"traceparent": 5}) is None
    assert context_in({"traceparent": [PARENT]}) is None
    assert context_in({"traceparent": f" {PARENT} ", "tracestate": None}) == TraceContext(PARENT)


def test_a_tracestate_without_a_traceparent_is_refused() -> None:
    with pytest.raises(ValidationError, match="give both, or neither"):
        StartRequest(task_type="t", tracestate="a=b")


def test_the_direct_client_checks_what_it_is_given() -> None:
    assert trace_of(PARENT, "a=b") == TraceContext(PARENT, "a=b")
    assert trace_of(None, None) is None
    with pytest.raises(InvalidRequest, match="32 hex digits"):
        trace_of("nonsense", None)
    with pytest.raises(InvalidRequest, match="give both, or neither"):
        trace_of(None, "a=b")
