"""Which executions are meant: the criteria that a caller names, and the filter that they make. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.ledger.reads import Record
from mindswarm_exec.lifecycle import Status

Statuses = Status | str | Sequence[Status | str] | None


class Criteria(TypedDict, total=False):
    """What is None, or left out, says nothing."""

    status: Statuses
    agent_id: str | None
    task_type: str | None
    task_id: str | None
    project_id: str | None
    #: bounds on the instant at which the present status was taken
    since: datetime | None
    until: datetime | None
    tag: str | None
    parent_id: str | None


@dataclass(frozen=True, slots=True)
class Filter:
    """What an execution must match; None matches all."""

    statuses: tuple[Status, ...] = tuple(Status)
    agent_id: str | None = None
    task_type: str | None = None
    task_id: str | None = None
    project_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    tag: str | None = None
    parent_id: str | None = None

    @classmethod
    def of(cls, criteria: Criteria, otherwise: Sequence[Status]) -> Filter:
        """The filter that the criteria make; where they name no status, `otherwise` are meant.

        Raises:
            InvalidRequest: there is no such status.
        """
        others: dict[str, Any] = {name: value for name, value in criteria.items() if name != "status"}
        return cls(_checked_statuses(criteria.get("status"), otherwise), **others)

    def admits(self, fields: Record) -> bool:
        return all(fields.get(name) == value for name, value in self.equal.items()) and self._has_tag(fields)

    @property
    def names(self) -> list[str]:
        """The fields of a record that `admits` looks at."""
        return [*self.equal, *(["options"] if self.tag else [])]

    @property
    def equal(self) -> dict[str, str]:
        """The fields that must have a certain value."""
        names = ("agent_id", "task_type", "task_id", "project_id", "parent_id")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    @property
    def since_ms(self) -> int | None:
        return _ms(self.since)

    @property
    def until_ms(self) -> int | None:
        return _ms(self.until)

    def _has_tag(self, fields: Record) -> bool:
        options = fields.get("options", "{}")
        # a name needs no escapes in JSON, so most records are told apart without reading them
        return self.tag is None or (f'"{self.tag}"' in options and self.tag in json.loads(options).get("tags", ()))


def _checked_statuses(given: Statuses, otherwise: Sequence[Status]) -> tuple[Status, ...]:
    """The statuses asked for, by themselves or by name; `otherwise` if none is."""
    if not given:
        return tuple(otherwise)
    try:
        return tuple(Status(each) for each in ([given] if isinstance(given, str) else given))
    except ValueError:
        raise InvalidRequest(
            f"status: there is no such state. The states are {', '.join(Status)}.",
            field="status",
            allowed=list(Status),
        ) from None


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)
