"""Why an execution waits: one cause of a closed list, told from one look at the ledger. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mindswarm_exec.ledger.looks import Look, SeenHolder
from mindswarm_exec.lifecycle import CANCEL, CREATE, PAUSE, PAUSED, PENDING, RESUME, RETRY
from mindswarm_exec.models.options import DemandClass
from mindswarm_exec.models.records import WaitingFor, instant
from mindswarm_exec.service.causes import because, span
from mindswarm_exec.service.standing import Standing, no_agent, standings
from mindswarm_exec.service.waited import asked_start_ms, moves_of

#: Sweeps come every second or so; what is due and has not been swept for so long waits for somebody to sweep.
SILENCE_MS = 15_000


def demand_of(fields: Mapping[str, str]) -> DemandClass:
    """What an execution asks of its agent."""
    return DemandClass.model_validate_json(fields.get("demand") or json.dumps({"task_type": fields["task_type"]}))


def waiting_for(look: Look, found: Sequence[Standing] | None = None) -> WaitingFor | None:
    """The cause for which the execution waits; None if it does not wait. `found`: its `standings`, if known."""
    fields = look.fields
    if fields["status"] == PAUSED:
        return paused(look)
    if fields["status"] != PENDING:
        return None
    match fields.get("place"):
        case "delay":
            return _delayed(look)
        case "concurrency":
            return held_back(look, fields["concurrency_key"], int(fields["concurrency_limit"]))
        case _:
            demand = demand_of(fields)
            return no_agent(look, demand, standings(look, demand) if found is None else found)


def paused(look: Look) -> WaitingFor:
    """It is paused, by whom and for what."""
    fields, id = look.fields, look.execution_id
    if fields.get("intent_kind") == CANCEL.name:
        told = "it was paused in place, and is being cancelled: its process is about to end"
        return because("paused", told, "nothing is to be done; `cancel --force` fences it at once")
    if "question" in fields:
        question = json.loads(fields["question"])
        told = f"its handler waits for the answer to '{question['prompt']}'"
        return because("input_required", told, f"answer it: `mindswarm-exec provide-input {id} JSON`")
    if fields.get("pause_reason") == "budget":
        return _budget(look)
    reason = fields.get("intent_reason")
    frozen = f", in place: its process on agent '{fields.get('agent_id')}' is stopped and keeps its slot"
    told = f"it was paused{_by_whom(look)}{f': {reason}' if reason else ''}{frozen if 'frozen' in fields else ''}"
    return because("paused", told, f"let it go on: `mindswarm-exec resume {id}`")


def held_back(look: Look, key: str, limit: int) -> WaitingFor:
    """Its concurrency key admits no more, or others go first: the first in line holds up those behind it."""
    held, ahead = look.permits_held, look.permits_ahead
    holders = ", ".join(map(_holder, look.permit_holders)) + (" …" if held > len(look.permit_holders) else "")
    told = f"concurrency key '{key}' admits {limit} at a time; held by {holders}"
    step = f"it goes on when one of them ends or pauses; what one of them does: `mindswarm-exec explain {_one(look)}`"
    if ahead and look.permit_next is not None and held < limit:
        first, admits = look.permit_next
        told = f"{first} goes first for concurrency key '{key}', and admits {admits} at a time; held by {holders}"
    elif ahead:
        told += f"; {ahead} more go{'es' if ahead == 1 else ''} first"
    return because("concurrency_key", told, step)


def delayed_until(look: Look, at_ms: int, *, is_retry: bool) -> WaitingFor:
    """It is not yet time, or no sweep has let it in yet."""
    moment = instant(at_ms)
    assert moment is not None
    at = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    told = f"the next attempt is due at {at}" if is_retry else f"it was asked not to start before {at}"
    if is_retry and look.fields.get("failed_attempts"):
        told = f"{_attempts(look.fields['failed_attempts'])} failed, and {told}"
    step = f"it goes on by itself in {span(at_ms - look.now_ms)}"
    if at_ms <= look.now_ms:
        told, step = _overdue(look, told)
    return because("retry_delay" if is_retry else "start_at", told, step, until=moment)


def start_of(fields: Mapping[str, str]) -> tuple[int, bool] | None:
    """When it may start and whether that is a delay between attempts; None: at any time."""
    if "eligible_at_ms" not in fields:
        return None
    at_ms = int(fields["eligible_at_ms"])
    return at_ms, asked_start_ms(fields) != at_ms


# --- steps -----------------------------------------------------------------------------------------------


def _delayed(look: Look) -> WaitingFor:
    start = start_of(look.fields)
    assert start is not None, "what is delayed has an instant"
    at_ms, is_retry = start
    return delayed_until(look, at_ms, is_retry=is_retry)


def _overdue(look: Look, told: str) -> tuple[str, str]:
    """Its time has come: a sweep lets it in, if anybody sweeps."""
    swept_at_ms = look.swept_at_ms
    if swept_at_ms is not None and look.now_ms - swept_at_ms < SILENCE_MS:
        return f"{told}; the next sweep lets it in", "it goes on by itself in a moment"
    silence = "ever" if swept_at_ms is None else f"for {span(look.now_ms - swept_at_ms)}"
    step = "start what sweeps: `mindswarm-exec beat` and `mindswarm-exec dispatcher`"
    return f"{told}, but nobody has looked for what is due {silence}", step


def _budget(look: Look) -> WaitingFor:
    """A budget of its own or of an ancestor was spent; whoever owns it may have been given more since."""
    id, spent = look.execution_id, look.spent_budget
    reason = look.fields.get("intent_reason")
    if spent is None:
        told = f"it was paused because {reason}, which binds it no longer"
        return because("budget", told, f"let it go on: `mindswarm-exec resume {id}`")
    told = f"of the budget of {spent.meter}, {spent.spent:g} of {spent.limit:g} are spent"
    larger = f"`mindswarm-exec resume {spent.owner_id} --meter {spent.meter}=LIMIT`"
    if spent.owner_id == id:
        return because("budget", f"it was paused: {told}", f"give it a larger one: {larger}")
    step = f"give the ancestor a larger one, and it goes on with it: {larger}"
    return because("budget", f"it was paused: {told}, by its ancestor {spent.owner_id} and what that started", step)


def _by_whom(look: Look) -> str:
    """Who asked for the pause that it is in, and when, as the events kept on the record tell."""
    for move in reversed(moves_of(look.fields)):
        if move.event_type in (CREATE.event, RETRY.event, RESUME.event):
            return ""
        if move.event_type in (PAUSE.event, "execution.pause_requested") and "actor" in move.data:
            return f" {_actor(move.data['actor'])} {span(look.now_ms - move.at_ms)} ago"
    return ""


def _actor(facts: Mapping[str, Any]) -> str:
    place = f" from {facts['address']}" if facts.get("address") else ""
    return f"by {facts.get('name', 'client')} ({facts.get('via', 'direct')}{place})"


def _holder(holder: SeenHolder) -> str:
    """A holder of a permit, and what it does: one that does not run is what to look at next."""
    if holder.status == PENDING:
        return f"{holder.execution_id} (waits itself)"
    doing = "paused in place" if holder.status == PAUSED else holder.status
    return f"{holder.execution_id} ({doing} on {holder.agent_id})"


def _one(look: Look) -> str:
    """The holder that it is best to look at: one that does not run."""
    idle = sorted(look.permit_holders, key=lambda holder: holder.status not in (PENDING, PAUSED))
    return idle[0].execution_id if idle else "EXECUTION_ID"


def _attempts(failed: str) -> str:
    return "1 attempt" if failed == "1" else f"{failed} attempts"
