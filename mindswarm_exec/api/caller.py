"""Who calls, and what their key opens.

What lies in a project that a key does not open is answered as if it did not exist (UnknownExecution,
UnknownTask), so that ids cannot be probed. Only where the caller names the project is it told Forbidden. The log is
told in either case, with whose key it was.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mindswarm_exec.errors import Forbidden, InvalidRequest, MindSwarmError
from mindswarm_exec.models.trace_context import TraceContext
from mindswarm_exec.service.actors import Actor

if TYPE_CHECKING:
    from mindswarm_exec.api.event_feed import EventFeed

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Caller:
    """One authenticated caller, on one connection."""

    #: the projects that are open to it; None: every one, and the verbs that concern all of them
    projects: frozenset[str] | None = None
    #: the connection's events; None over HTTP, which cannot push
    events: EventFeed | None = None
    #: what is noted of it in the events of what it asks for
    actor: Actor = field(default_factory=Actor)
    #: the trace that the headers of its request name
    trace: TraceContext | None = None

    @property
    def is_admin(self) -> bool:
        return self.projects is None

    def opens(self, project_id: str) -> bool:
        return self.projects is None or project_id in self.projects

    def must_open(self, project_id: str) -> None:
        """Raises Forbidden unless the project is open to the caller."""
        if not self.opens(project_id):
            raise self._refused(
                Forbidden(
                    f"the API key does not open project '{project_id}'. {self._listed()} Use another key.",
                    project_id=project_id,
                    allowed=sorted(self.projects or ()),
                )
            )

    def must_see(self, project_id: str, otherwise: MindSwarmError) -> None:
        """Raises `otherwise` unless the project of what was found is open to the caller."""
        if not self.opens(project_id):
            raise self._refused(otherwise)

    def must_be_admin(self, what: str) -> None:
        """Raises Forbidden unless the caller's key opens every project."""
        if not self.is_admin:
            told = f"{what} concerns every project; it takes a key that opens '*'. Ask an administrator."
            raise self._refused(Forbidden(told), wanted=what)

    def project_for(self, asked: str | None, what: str) -> str | None:
        """The project that a listing is bounded to; None: no bound.

        Raises:
            Forbidden: the project asked for is not open.
            InvalidRequest: none was asked for, and the key opens several.
        """
        if asked is not None:
            self.must_open(asked)
            return asked
        if self.projects is None:
            return None
        if len(self.projects) > 1:
            raise InvalidRequest(
                f"{what}: name a project_id. {self._listed()}", field="project_id", allowed=sorted(self.projects)
            )
        return next(iter(self.projects))

    def _refused(self, error: MindSwarmError, **facts: str) -> MindSwarmError:
        ids = {name: value for name, value in error.facts.items() if name.endswith("_id")}
        told = {"action": "refuse", "code": error.code, "actor": self.actor.facts, **ids, **facts}
        log.info("an API key does not open what was asked for", extra=told)
        return error

    def _listed(self) -> str:
        return f"It opens {', '.join(sorted(self.projects or ()))}."
