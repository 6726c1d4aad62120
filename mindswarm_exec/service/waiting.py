"""Why a pending execution waits: read from the ledger, told as one of a closed list of reasons."""

from __future__ import annotations

import json

from mindswarm_exec.ledger import reads
from mindswarm_exec.ledger.faces import AsyncLedger
from mindswarm_exec.ledger.reads import AgentFacts, Record
from mindswarm_exec.models.options import DemandClass
from mindswarm_exec.models.records import WaitingFor, instant
from mindswarm_exec.selection import Candidate, unmet
from mindswarm_exec.service.names import nearest

#: Agents looked at for a reason; beyond that the count alone is told.
MOST_AGENTS_READ = 200


def candidate(facts: AgentFacts) -> Candidate:
    """A registered agent as selection sees it."""
    profile = json.loads(facts.record["profile"])
    return Candidate(
        agent_id=facts.agent_id,
        task_types=frozenset(profile["task_types"]),
        capabilities=frozenset(profile["capabilities"]),
        labels=profile["labels"],
        max_concurrent=int(facts.record["max_concurrent"]),
        load=len(facts.held),
        accepts_work=facts.record.get("accepts_work") == "1",
        last_used=int(facts.record.get("last_used", 0)),
        success_rates={name: float(rate) for name, rate in facts.success.items()},
    )


async def waiting_for(ledger: AsyncLedger, fields: Record) -> WaitingFor | None:
    """The reason why the pending execution with these fields waits; None if it does not wait."""
    match fields.get("place"):
        case "delay":
            return _delayed(fields)
        case "concurrency":
            return await _held_back(ledger, fields)
        case "lane":
            return await _in_lane(ledger, fields)
        case _:
            return None


def _delayed(fields: Record) -> WaitingFor:
    until = instant(fields.get("eligible_at_ms"))
    moment = until.isoformat(timespec="milliseconds") if until else "its time"
    if int(fields.get("attempt", 0)) > 0:
        return WaitingFor(reason="retry_delay", detail=f"the next attempt is due at {moment}")
    return WaitingFor(reason="start_at", detail=f"it was asked not to start before {moment}")


async def _held_back(ledger: AsyncLedger, fields: Record) -> WaitingFor:
    key = fields["concurrency_key"]
    holders = await ledger.run(reads.permit_holders(fields["project_id"], key))
    named = ", ".join(holders[:5]) + (" …" if len(holders) > 5 else "")
    return WaitingFor(
        reason="concurrency_key",
        detail=f"concurrency key '{key}' admits {fields['concurrency_limit']} at a time; held by {named}",
    )


async def _in_lane(ledger: AsyncLedger, fields: Record) -> WaitingFor:
    suitable = await ledger.run(reads.suitable_agents(fields["class_id"]))
    if not suitable:
        return await _nobody(ledger, fields)
    found = await ledger.run_many([reads.agent(agent_id) for agent_id in suitable[:MOST_AGENTS_READ]])
    agents = [facts for facts in found if facts is not None]
    states = {facts.record["state"] for facts in agents}
    names = ", ".join(suitable[:5]) + (" …" if len(suitable) > 5 else "")
    if states <= {"offline", "draining"}:
        return WaitingFor(
            reason="agents_offline", detail=f"all agents that could serve it are offline or draining: {names}"
        )
    if "awake" not in states:
        return WaitingFor(reason="agents_asleep", detail=_waking(agents) or _asleep(agents))
    slots = sum(int(facts.record["max_concurrent"]) for facts in agents if facts.record["state"] == "awake")
    taken = sum(len(facts.held) for facts in agents if facts.record["state"] == "awake")
    hint = f"; {_waking(agents)}" if _waking(agents) else ""
    return WaitingFor(reason="agents_busy", detail=f"{taken} of {slots} slots of {names} are taken{hint}")


def _waking(agents: list[AgentFacts]) -> str:
    """Whom work has woken, or an operator, and who has not opened yet; empty if there is nobody."""
    names = [f"agent '{facts.agent_id}' is waking" for facts in agents if facts.record["state"] == "waking"]
    return ", ".join(names[:5])


def _asleep(agents: list[AgentFacts]) -> str:
    """Who sleeps. Work has woken them, and none opened in time; or their success rate is too low for it."""
    sleepers = [facts for facts in agents if facts.record["state"] == "sleeping"]
    names = ", ".join(facts.agent_id for facts in sleepers[:5]) + (" …" if len(sleepers) > 5 else "")
    late = sum("passed_over" in facts.record for facts in sleepers)
    hint = f"; {late} of them did not wake in time" if late else ""
    return f"the agents that could serve it sleep: {names}{hint}"


async def _nobody(ledger: AsyncLedger, fields: Record) -> WaitingFor:
    """No registered agent could ever serve it: either nobody implements the task type, or a demand is unmet."""
    task_type = fields["task_type"]
    found = await ledger.run_many([reads.agent(name) for name in await ledger.run(reads.agent_ids())])
    candidates = [candidate(facts) for facts in found if facts is not None]
    implementers = [agent for agent in candidates if task_type in agent.task_types]
    if not implementers:
        close = nearest(task_type, sorted({name for agent in candidates for name in agent.task_types}))
        hint = f" (did you mean '{close}'?)" if close else ""
        return WaitingFor(
            reason="no_such_task_type",
            detail=f"no agent can ever run '{task_type}': no registered agent implements it{hint}",
            nearest=close,
        )
    demand = DemandClass.model_validate_json(fields.get("demand") or json.dumps({"task_type": task_type}))
    misses = [f"{agent.agent_id}: {unmet(demand, agent)}" for agent in implementers[:5]]
    return WaitingFor(
        reason="no_suitable_agent",
        detail=f"no agent can ever run it as things are. Of those that implement '{task_type}', {'; '.join(misses)}",
    )
