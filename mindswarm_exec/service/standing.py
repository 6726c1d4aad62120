"""How the registered agents stand to a demand, and what follows if none of them can take the work. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mindswarm_exec.ledger.looks import Look, SeenAgent
from mindswarm_exec.models.options import DemandClass
from mindswarm_exec.models.records import WaitingFor
from mindswarm_exec.selection import Candidate, LabelValue, misses, reaches
from mindswarm_exec.service.causes import because, span
from mindswarm_exec.service.names import nearest

#: Agents that a sentence names.
MOST_NAMED = 5


@dataclass(slots=True)
class Standing:
    """One registered agent, and what keeps it from ever serving the demand."""

    seen: SeenAgent
    agent: Candidate
    misses: tuple[str, ...]

    @property
    def suits(self) -> bool:
        return not self.misses


def standings(look: Look, demand: DemandClass) -> list[Standing]:
    """Every agent that the look shows, in the order of registration."""
    if demand.agent_id is not None or demand.excluded_agents:
        return [_standing(seen, demand) for seen in look.agents]
    known: dict[str, tuple[str, ...]] = {}  # where no agent is named, all of one profile miss the same
    return [_standing(seen, demand, known) for seen in look.agents]


def no_agent(look: Look, demand: DemandClass, found: Sequence[Standing]) -> WaitingFor:
    """No agent takes it now: none ever can, or those that could are away, asleep, busy or not good enough."""
    suitable = [one for one in found if one.suits]
    if not suitable:
        return _nobody(look, demand, found)
    good = [one.seen for one in suitable if reaches(demand, one.agent)]
    if not good:
        return _not_good_enough(look, demand, [one.agent for one in suitable])
    return _all_taken(look, good, demand.agent_id)


# --- steps -----------------------------------------------------------------------------------------------


def _standing(seen: SeenAgent, demand: DemandClass, known: dict[str, tuple[str, ...]] | None = None) -> Standing:
    agent = candidate(seen, demand.task_type)
    if known is None:
        return Standing(seen, agent, misses(demand, agent))
    if seen.profile not in known:
        known[seen.profile] = misses(demand, agent)
    return Standing(seen, agent, known[seen.profile])


def candidate(seen: SeenAgent, task_type: str) -> Candidate:
    """A registered agent as selection sees it."""
    task_types, capabilities, labels = _profile(seen.profile)
    return Candidate(
        agent_id=seen.agent_id,
        task_types=task_types,
        capabilities=capabilities,
        labels=labels,
        max_concurrent=seen.max_concurrent,
        load=seen.load,
        accepts_work=seen.accepts_work,
        last_used=seen.last_used,
        success_rates={} if seen.success_rate is None else {task_type: seen.success_rate},
    )


@lru_cache(maxsize=1024)
def _profile(stored: str) -> tuple[frozenset[str], frozenset[str], Mapping[str, LabelValue]]:
    """Agents of one kind share a profile, and it changes with their processes only."""
    profile = json.loads(stored)
    return frozenset(profile["task_types"]), frozenset(profile["capabilities"]), profile["labels"]


def _all_taken(look: Look, good: Sequence[SeenAgent], assigned: str | None) -> WaitingFor:
    """Agents that could serve it are there; none of them has a free slot, or is awake."""
    up = [seen for seen in good if seen.state == "awake" and seen.accepts_work]
    waking = [seen for seen in good if seen.state == "waking"]
    asleep = [seen for seen in good if seen.state == "sleeping"]
    if up:
        return _busy(look, up, waking, asleep)
    if waking:
        told = ", ".join(f"agent '{seen.agent_id}' is waking" for seen in waking[:MOST_NAMED])
        return because("agents_asleep", told, "it starts by itself when that agent has opened")
    if asleep:
        return _asleep(asleep)
    told = "; ".join(_away(seen) for seen in good[:MOST_NAMED]) + (" …" if len(good) > MOST_NAMED else "")
    return because("agents_offline", f"no agent that could serve it is open for work: {told}", _opens(good, assigned))


def _opens(closed: Sequence[SeenAgent], assigned: str | None) -> str:
    """What lets one of the agents take work again, the least effort first."""
    if any(seen.state == "awake" for seen in closed):
        return "it starts by itself when that agent has opened"
    again = f"start '{assigned}' again" if assigned else "start one of them again, or another like it"
    step = f"{again}: `mindswarm-exec agent MODULE:ATTR --name {assigned or 'NAME'}`"
    if draining := [seen.agent_id for seen in closed if seen.state == "draining"]:
        return f"if '{draining[0]}' is not to end: `mindswarm-exec agent-wake {draining[0]}`; else {step}"
    return step


def _busy(
    look: Look, up: Sequence[SeenAgent], waking: Sequence[SeenAgent], asleep: Sequence[SeenAgent]
) -> WaitingFor:
    slots, taken = sum(seen.max_concurrent for seen in up), sum(seen.load for seen in up)
    told = f"{taken} of {slots} slots of {_named(up)} are taken"
    if len(up) == len(look.agents) < look.agents_registered:
        told += ", and so it is with agents not looked at"
    if silent := [seen for seen in up if seen.lease_expires_at_ms <= look.now_ms]:
        told += f"; not heard of for longer than a lease: {_named(silent)}"
    ahead = look.lane_ahead + (look.ahead_elsewhere or 0)
    step = "it starts when a slot becomes free" + (" after those that go first have started" if ahead else "")
    if waking:
        told += f"; agent '{waking[0].agent_id}' is waking"
        step += ", or when that one has opened"
    elif asleep:  # work that others awake could do wakes a sleeper only if it is urgent
        step += f"; '{asleep[0].agent_id}' sleeps and could take it: `mindswarm-exec agent-wake {asleep[0].agent_id}`"
    return because("agents_busy", told, step)


def _asleep(sleepers: Sequence[SeenAgent]) -> WaitingFor:
    """Who sleeps: those that work has woken, and who did not open in time, are woken no more."""
    late = sum(seen.passed_over for seen in sleepers)
    hint = f"; {late} of them did not wake in time" if late else ""
    told = f"the agents that could serve it sleep: {_named(sleepers)}{hint}"
    return because("agents_asleep", told, f"wake one: `mindswarm-exec agent-wake {sleepers[0].agent_id}`")


def _away(seen: SeenAgent) -> str:
    if seen.state == "awake":
        return f"{seen.agent_id} has registered, but not opened for work yet"
    return f"{seen.agent_id} is {seen.state}"


def _not_good_enough(look: Look, demand: DemandClass, suitable: Sequence[Candidate]) -> WaitingFor:
    best = max(suitable, key=lambda agent: agent.success_rate(demand.task_type))
    rate = best.success_rate(demand.task_type)
    of = "" if look.sees_every_agent else f" of the {len(look.agents)} that were looked at"
    told = f"it asks for a success rate of {demand.min_success_rate}"
    return because(
        "success_rate",
        f"{told}; the best agent{of}, '{best.agent_id}', has {rate:.3g}",
        "cancel it and submit it with a lower min_success_rate, or start a fresh agent: one begins at 1",
    )


def _nobody(look: Look, demand: DemandClass, found: Sequence[Standing]) -> WaitingFor:
    """No registered agent could ever serve it: nobody implements the task type, or a demand is unmet."""
    if demand.agent_id is not None:
        return _assigned(look, demand, demand.agent_id, found)
    task_type = demand.task_type
    implementers = [one for one in found if task_type in one.agent.task_types]
    if implementers:
        return _missed(task_type, demand, implementers)
    if not look.sees_every_agent:  # one of the others may implement it, but none suits
        told = f"none of the {look.agents_registered} registered agents can ever run it as things are"
        return because("no_suitable_agent", told, _ANOTHER)
    close = nearest(task_type, sorted({name for one in found for name in one.agent.task_types}))
    hint = f" (did you mean '{close}'?)" if close else ""
    told = f"no agent can ever run '{task_type}': no registered agent implements it{hint}"
    step = "start an agent that does: `mindswarm-exec agent MODULE:ATTR --name NAME`; or cancel it"
    return because("no_such_task_type", told, step, near=close)


_ANOTHER = "start an agent that meets all of it, or cancel it and submit it with other demands"


def _missed(task_type: str, demand: DemandClass, implementers: Iterable[Standing]) -> WaitingFor:
    """The nearest miss first: the agent with the fewest things against it."""
    first, *others = sorted(implementers, key=lambda one: len(one.misses))
    told = f"no agent meets all that it asks for: of those that implement '{task_type}' the nearest miss is "
    told += "; ".join(map(_miss, [first, *others][:MOST_NAMED]))
    known = sorted({name for one in (first, *others) for name in one.agent.capabilities})
    wanted = [name for name in demand.required_capabilities if name not in known]
    return because("no_suitable_agent", told, _ANOTHER, near=nearest(wanted[0], known) if wanted else None)


def _miss(one: Standing) -> str:
    return f"{one.agent.agent_id}, which {' and '.join(one.misses)}"


def _assigned(look: Look, demand: DemandClass, agent_id: str, found: Sequence[Standing]) -> WaitingFor:
    """It waits for one agent, which could serve it once, and is not here any more or not what it was."""
    named = next((one for one in found if one.agent.agent_id == agent_id), None)
    if named is not None:
        why = " and ".join(named.misses)
    else:
        why = "is not registered any more" if look.sees_every_agent else "cannot run it any more"
    told = f"it is assigned to agent '{agent_id}', which {why}"
    step = f"start that agent again with '{demand.task_type}', or cancel it and submit it without agent_id"
    return because("no_suitable_agent", told, step)


def _named(agents: Sequence[SeenAgent]) -> str:
    named = ", ".join(seen.agent_id for seen in agents[:MOST_NAMED])
    return f"{named} and {len(agents) - MOST_NAMED} more" if len(agents) > MOST_NAMED else named


def silence(seen: SeenAgent, now_ms: int) -> str | None:
    """That an agent is counted as awake though its lease has run out: it is lost with the next sweep."""
    late = now_ms - seen.lease_expires_at_ms
    return f"its lease ran out {span(late)} ago" if late >= 0 and seen.state != "offline" else None
