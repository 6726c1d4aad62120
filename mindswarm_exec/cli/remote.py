"""What every command that speaks to the API shares: its options, the client, and how answers become records."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click
from pydantic import BaseModel

from mindswarm_exec.cli.screen import Screen
from mindswarm_exec.client import ExecutionClient
from mindswarm_exec.client.wire import as_record
from mindswarm_exec.models.addresses import CLI_USER_AGENT
from mindswarm_exec.settings import Settings

Record = TypeVar("Record", bound=BaseModel)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else on stdout.")


class Remote:
    """The API that a command speaks to, and the screen that it answers on."""

    def __init__(self, client: ExecutionClient, screen: Screen) -> None:
        self.client = client
        self.screen = screen

    def call(self, method: str, **params: Any) -> Any:
        """Call `mindswarm.<method>` with the params that are not None."""
        return self.send(method, {name: value for name, value in params.items() if value is not None})

    def send(self, method: str, params: dict[str, Any]) -> Any:
        """Call `mindswarm.<method>` with `params` as they are."""
        return self.client.call(f"mindswarm.{method}", **params)


def remote(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--json`, `--api-url` and, as its first argument, a `Remote`."""

    @click.option("--api-url", metavar="URL", help="The API; default: MINDSWARM_API_URL or the local one.")
    @json_option
    @functools.wraps(command)
    def connected(*args: Any, as_json: bool, api_url: str | None, **kwargs: Any) -> Any:
        settings = Settings.from_environment()
        url = api_url or settings.api_url
        with ExecutionClient(url, api_key=settings.api_key, user_agent=CLI_USER_AGENT) as client:
            return command(Remote(client, Screen(as_json)), *args, **kwargs)

    return connected


def read_as(model: type[Record], value: Any) -> Record:
    """An answer of the API as a record. Raises ApiUnavailable if it is none."""
    found: Record = as_record(model)(value)
    return found
