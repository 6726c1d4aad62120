"""Every key and channel of the ledger.

All names start with one prefix whose braces make a single hash tag, so that a cluster keeps them on one
shard and a script may touch any of them. Scripts build a name as `key(family, id)` from the same families;
a test compares the two.

    family          type     members or fields → score or value                     lifetime
    execution       hash     the record of one execution, `event:<seq>` per move    retention after its end
    status          zset     by status: execution id → ms it took that status       with the execution
    lane            zset     by class: waiting execution id → rank (ms)             while it waits
    backlog         set      classes whose lane is not empty                        derived from lanes
    depth           hash     "<project> <priority>" → executions in lanes           derived from lanes
    elsewhere       hash     "<project> <place>" → pending executions not in lanes  derived from their places
    flow            hash     by minute (ms): "<class> <in, out>" → how many         ten minutes
    classes         zset     demand class id → ms of last use                       unused classes are forgotten
    class           string   the demand as canonical JSON                           with its member of `classes`
    suitable        set      by class: registered agents that meet the demand       with the class
    available       zset     by class: agents that may take work now → packed score with the class
    awake           set      by class: suitable agents that are awake or waking     with the class
    asleep          zset     by class: agents that work may wake → packed rate, use with the class
    agents          zset     agent id → ms of its first registration                offline retention
    agent           hash     the record of one agent                                offline retention
    serves          set      by agent: classes whose demand it meets                with the agent
    held            hash     by agent: attempt id → nonce; its size is the load     while held
    success         hash     by agent: task type → smoothed success rate            with the agent
    deadlines       zset     "<execution, agent, cascade, …>:<id>" → next (ms)       while something is watched
    affinity        string   by project and key: the agent that ran it last         a week after the last use
    concurrency     set      by project and key: executions with a permit           while held
    held_back       zset     by project and key: execution id → rank (ms)           while it waits for a permit
    children        set      by execution: the executions that name it as parent      with the parent
    cascade         zset     by cancelled execution: children still to be cancelled  until they are
    starved         zset     by owner of a spent budget: others paused for it → ms   until it is raised
    idempotency     string   by project and key: execution id                       with the execution
    task            hash     the record of one task                                 for ever
    tasks           zset     task id → ms created                                   with the task
    uses            string   counter of matches: orders agents by last use          for ever
    swept_at        string   ms of the latest sweep                                 for ever
    events          stream   every event; also the name of the pub/sub channel      the newest `max_events`
    event_counts    hash     event type → how often it happened                     for ever
    rolled          hash     how far events are rolled up, how many were lost       for ever
    counted         list     by minute (ms) and group: what each roll-up counted    until it is added up
    summed          hash     by span and group: what was added up, and how far      as the settings say
    unfolded        zset     hour (ms) with counts that are not yet added up → hour  until they are
    ended           channel  by execution: its end: the status, and a small result  -
    control         channel  by agent: a wish for an attempt, its new state, or a fence -
    clock_offset    string   ms added to the server's clock; tests only             -
    api_key         hash     by digest: the projects that an API key opens          until revoked
"""

from __future__ import annotations

from dataclasses import dataclass

FAMILIES = frozenset(
    {
        "execution",
        "status",
        "lane",
        "backlog",
        "depth",
        "classes",
        "class",
        "suitable",
        "available",
        "awake",
        "asleep",
        "agents",
        "agent",
    }
    | {"serves", "held", "success", "deadlines", "affinity", "concurrency", "held_back", "idempotency", "task"}
    | {"rolled", "counted", "summed", "unfolded"}
    | {"tasks", "uses", "swept_at", "events", "ended", "control", "clock_offset", "api_key", "children", "cascade"}
    | {"event_counts", "elsewhere", "flow", "starved"}
)


@dataclass(frozen=True, slots=True)
class Keys:
    """The key names of one namespace."""

    namespace: str

    @property
    def prefix(self) -> str:
        return f"{{{self.namespace}}}:"

    def of(self, family: str, member: str = "") -> str:
        """The name of a family's key: `{namespace}:family` or `{namespace}:family:member`."""
        assert family in FAMILIES, family
        return f"{self.prefix}{family}:{member}" if member else f"{self.prefix}{family}"
