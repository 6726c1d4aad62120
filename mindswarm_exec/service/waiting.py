"""Why an execution waits: one cause of a closed list, told from one look at the ledger. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from mindswarm_exec.ledger.looks import Look, SeenAgent
from mindswarm_exec.lifecycle import CANCEL, PAUSED, PENDING
from mindswarm_exec.models.options import DemandClass
from mindswarm_exec.models.records import WAITING_KINDS, WaitingFor
from mindswarm_exec.selection import Candidate, reaches, suits, unmet
from mindswarm_exec.service.names import nearest


def candidate(seen: SeenAgent, task_type: str) -> Candidate:
    """A registered agent as selection sees it."""
    profile = json.loads(seen.profile)
    return Candidate(
        agent_id=seen.agent_id,
        task_types=frozenset(profile["task_types"]),
        capabilities=frozenset(profile["capabilities"]),
        labels=profile["labels"],
        max_concurrent=seen.max_concurrent,
        load=seen.load,
        accepts_work=seen.accepts_work,
        last_used=seen.last_used,
        success_rates={} if seen.success_rate is None else {task_type: seen.success_rate},
    )


def demand_of(fields: Mapping[str, str]) -> DemandClass:
    """What an execution asks of its agent."""
    return DemandClass.model_validate_json(fields.get("demand") or json.dumps({"task_type": fields["task_type"]}))


def waiting_for(look: Look) -> WaitingFor | None:
    """The cause for which the execution waits; None if it does not wait."""
    fields = look.fields
    if fields["status"] == PAUSED:
        return paused(fields)
    if fields["status"] != PENDING:
        return None
    match fields.get("place"):
        case "delay":
            return _delayed(fields)
        case "concurrency":
            return held_back(look, fields["concurrency_key"], fields["concurrency_limit"])
        case _:
            return no_agent(look, demand_of(fields))


def paused(fields: Mapping[str, str]) -> WaitingFor:
    """It is paused, by whom and for what."""
    if fields.get("intent_kind") == CANCEL.name:
        return _because("paused", "it was paused in place, and is being cancelled: its process is about to end")
    if "question" in fields:
        prompt = json.loads(fields["question"])["prompt"]
        return _because("input_required", f"it waits for the answer to '{prompt}'")
    reason = fields.get("intent_reason")
    if fields.get("pause_reason") == "budget":
        return _because("budget", f"{reason}; resume it with a larger one")
    return _because("paused", f"it was paused{f': {reason}' if reason else ''}; resume it to let it go on")


def held_back(look: Look, key: str, limit: int | str) -> WaitingFor:
    """Its concurrency key admits no more, or others go first: the first in line holds up those behind it."""
    named = ", ".join(look.permit_holders) + (" …" if look.permits_held > len(look.permit_holders) else "")
    told = f"concurrency key '{key}' admits {limit} at a time; held by {named}"
    first = f"; {look.permits_ahead} more go first" if look.permits_ahead else ""
    return _because("concurrency_key", told + first)


def no_agent(look: Look, demand: DemandClass) -> WaitingFor:
    """No agent takes it now: none ever can, or those that could are away, asleep, busy or not good enough."""
    pairs = [(seen, candidate(seen, demand.task_type)) for seen in look.agents]
    suitable = [(seen, agent) for seen, agent in pairs if suits(demand, agent)]
    if not suitable:
        return _nobody(demand, [agent for _, agent in pairs], look.agents_registered)
    good = [seen for seen, agent in suitable if reaches(demand, agent)]
    if not good:
        return _not_good_enough(demand, [agent for _, agent in suitable])
    return _all_taken(good)


def delayed_until(at_ms: int, *, is_retry: bool) -> WaitingFor:
    """It is not yet time."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    if is_retry:
        return _because("retry_delay", f"the next attempt is due at {moment}")
    return _because("start_at", f"it was asked not to start before {moment}")


# --- steps -----------------------------------------------------------------------------------------------


def _because(reason: Any, detail: str, near: str | None = None) -> WaitingFor:
    kind: Any = WAITING_KINDS[reason]
    return WaitingFor(reason=reason, kind=kind, detail=detail, nearest=near)


def _delayed(fields: Mapping[str, str]) -> WaitingFor:
    at_ms = int(fields["eligible_at_ms"])
    asked = json.loads(fields.get("options") or "{}").get("start_at")
    was_asked = asked is not None and round(datetime.fromisoformat(asked).timestamp() * 1000) == at_ms
    return delayed_until(at_ms, is_retry=not was_asked)


def _all_taken(good: Sequence[SeenAgent]) -> WaitingFor:
    """Agents that could serve it are there; none of them has a free slot, or is awake."""
    up = [seen for seen in good if seen.state == "awake" and seen.accepts_work]
    waking = ", ".join(f"agent '{seen.agent_id}' is waking" for seen in good if seen.state == "waking")
    if up:
        slots, taken = sum(seen.max_concurrent for seen in up), sum(seen.load for seen in up)
        hint = f"; {waking}" if waking else ""
        return _because("agents_busy", f"{taken} of {slots} slots of {_named(up)} are taken{hint}")
    asleep = [seen for seen in good if seen.state == "sleeping"]
    if waking or asleep:
        return _because("agents_asleep", waking or _asleep(asleep))
    opening = [seen for seen in good if seen.state == "awake"]
    if opening:
        return _because("agents_offline", f"{_named(opening)} has registered, but not opened for work yet")
    return _because("agents_offline", f"all agents that could serve it are offline or draining: {_named(good)}")


def _asleep(sleepers: Sequence[SeenAgent]) -> str:
    """Who sleeps: those that work has woken, and who did not open in time, are woken no more."""
    late = sum(seen.passed_over for seen in sleepers)
    hint = f"; {late} of them did not wake in time" if late else ""
    return f"the agents that could serve it sleep: {_named(sleepers)}{hint}"


def _not_good_enough(demand: DemandClass, suitable: Sequence[Candidate]) -> WaitingFor:
    best = max(suitable, key=lambda agent: agent.success_rate(demand.task_type))
    rate = best.success_rate(demand.task_type)
    return _because(
        "success_rate",
        f"it asks for a success rate of {demand.min_success_rate}; the best agent, '{best.agent_id}', has {rate:.3g}",
    )


def _nobody(demand: DemandClass, candidates: Sequence[Candidate], registered: int) -> WaitingFor:
    """No registered agent could ever serve it: either nobody implements the task type, or a demand is unmet."""
    task_type = demand.task_type
    implementers = [agent for agent in candidates if task_type in agent.task_types]
    if not implementers and registered > len(candidates):  # one of the others may implement it, but none suits
        return _because(
            "no_suitable_agent", f"none of the {registered} registered agents can ever run it as things are"
        )
    if not implementers:
        close = nearest(task_type, sorted({name for agent in candidates for name in agent.task_types}))
        hint = f" (did you mean '{close}'?)" if close else ""
        told = f"no agent can ever run '{task_type}': no registered agent implements it{hint}"
        return _because("no_such_task_type", told, close)
    misses = "; ".join(f"{agent.agent_id}: {unmet(demand, agent)}" for agent in implementers[:5])
    told = f"no agent can ever run it as things are. Of those that implement '{task_type}', {misses}"
    return _because("no_suitable_agent", told)


def _named(agents: Sequence[SeenAgent]) -> str:
    return ", ".join(seen.agent_id for seen in agents[:5]) + (" …" if len(agents) > 5 else "")
