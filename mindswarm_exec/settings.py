"""Settings: one model, read from `MINDSWARM_*` environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mindswarm_exec.errors import InvalidRequest

PREFIX = "MINDSWARM_"


class Settings(BaseModel):
    """Every setting. The environment variable of a field is `MINDSWARM_` + its name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # --- where things are
    redis_url: str | None = Field(None, description="the ledger; unset: an embedded Valkey under data_dir")
    broker_url: str | None = Field(None, description="Celery's broker; unset: the ledger's server")
    namespace: str = Field("mindswarm", pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$", description="prefix of every key")
    data_dir: Path = Field(Path(".mindswarm"), description="the embedded server's data")
    archive_url: str | None = Field(
        None,
        description="SQL database (sqlite, postgresql) that keeps what has ended after retention_seconds; off: none; "
        "unset: a file under data_dir beside an embedded ledger, else none",
        repr=False,
    )
    api_url: str = Field("http://127.0.0.1:8420", description="where clients find the API")
    api_host: str = Field("127.0.0.1", description="address the API binds; only loopback without API keys")
    api_port: int = Field(8420, ge=0, le=65535)
    api_keys: bool = Field(False, description="require an API key on every call")
    api_key: str | None = Field(None, description="the key that clients present", repr=False)

    log_format: Literal["console", "json"] = Field("console", description="how every process logs")
    task_events: bool = Field(True, description="agents send Celery task events, for Flower (as -E does)")

    # --- limits
    max_payload_bytes: int = Field(1 << 20, ge=1024, description="of a payload, result or checkpoint")
    max_request_bytes: int = Field(8 << 20, ge=4096, description="of one HTTP body or WebSocket message")
    max_batch: int = Field(100, ge=1, description="requests in one JSON-RPC batch")
    max_output_mb: int = Field(16, ge=1, description="what a process handler may print and stream; see output_mb")
    max_events: int = Field(200_000, ge=1000, description="events kept in the stream")
    retention_seconds: float = Field(7 * 86400, gt=0, description="ended executions are kept this long")
    rollup_minutes_retention_seconds: float = Field(
        26 * 3600, ge=25 * 3600, description="what ended in each minute is kept as counts this long"
    )
    rollup_hours_retention_seconds: float = Field(8 * 86400, ge=7 * 86400 + 3600, description="likewise, each hour")
    rollup_days_retention_seconds: float = Field(92 * 86400, ge=31 * 86400, description="likewise, each day")
    offline_agent_retention_seconds: float = Field(86400, gt=0, description="agents that left are listed this long")

    # --- timing
    lease_seconds: float = Field(15.0, ge=1, description="an agent not heard of for this long loses its work")
    delivery_seconds: float = Field(10.0, ge=0.5, description="a message not claimed for this long is sent again")
    sweep_seconds: float = Field(1.0, ge=0.05, description="period of the sweeps")
    enforcement_grace_seconds: float = Field(
        2.0, ge=0, description="the agent enforces a timeout at once, the sweep this much later"
    )
    pause_ack_seconds: float = Field(
        10.0, ge=0.1, description="a running handler should reach a safe point within this; then the receipt says so"
    )
    cancel_grace_seconds: float = Field(
        5.0, ge=0, description="a cancelled handler may clean up within this; then it is fenced, a process killed"
    )
    sleep_after_seconds: float | None = Field(
        None, gt=0, description="an agent that holds nothing for this long goes to sleep; unset: never"
    )
    wake_seconds: float = Field(30.0, ge=0.1, description="a waking agent that has not opened by then is passed over")
    drain_grace_seconds: float = Field(10.0, ge=0, description="running work may finish within this on SIGTERM")
    ledger_timeout_seconds: float = Field(4.0, ge=0.1, description="a silent ledger is an error after this")

    # --- selection (see docs/architecture.md)
    idle_bonus: float = Field(10.0, ge=0, le=1000)
    free_slot_weight: float = Field(2.0, ge=0, le=1000)
    success_weight: float = Field(5.0, ge=0, le=1000)
    affinity_bonus: float = Field(8.0, ge=0, le=1000)
    success_smoothing: float = Field(0.1, gt=0, le=1, description="weight of the latest outcome in a success rate")
    wake_priority: int = Field(7, ge=0, description="waiting work of at least this priority wakes an agent")
    head_start_seconds: float = Field(600.0, ge=0, description="how far one level of priority overtakes")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from `environment` (default: the process's own).

        Raises:
            InvalidRequest: a value does not fit; the message names the variable and what it takes.
        """
        found = os.environ if environment is None else environment
        values = {
            name: found[PREFIX + name.upper()]
            for name in cls.model_fields
            if found.get(PREFIX + name.upper(), "") != ""
        }
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            name = PREFIX + str(first["loc"][0]).upper()
            raise InvalidRequest(f"{name} does not fit: {first['msg']}. Correct it or unset it.") from None
