"""API keys, made and revoked beside the ledger. They count once MINDSWARM_API_KEYS is on."""

from __future__ import annotations

import click
from rich.table import Table

from mindswarm_exec.cli.screen import Screen
from mindswarm_exec.cli.tables import BOX
from mindswarm_exec.errors import NotFound
from mindswarm_exec.settings import Settings

_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def key() -> None:
    """Make, list and revoke API keys. Needs the ledger itself: MINDSWARM_REDIS_URL, or the embedded one."""


@key.command()
@click.argument("name")
@click.option("--project", "projects", multiple=True, required=True, help="A project it opens; '*' opens all.")
@_as_json
def create(name: str, projects: tuple[str, ...], as_json: bool) -> None:
    """Make a key and print it. It is kept as a digest only: it cannot be shown again."""
    from mindswarm_exec.api.keys import create_key

    made = create_key(Settings.from_environment(), projects, name)
    screen = Screen(as_json)
    screen.document({"api_key": made, "name": name, "project_ids": list(projects)}, lambda: made)
    screen.note("Keep it now: it cannot be shown again. Clients take it from MINDSWARM_API_KEY.")


@key.command("list")
@_as_json
def list_all(as_json: bool) -> None:
    """List the keys: ids and projects, never the keys themselves."""
    from mindswarm_exec.api.keys import list_keys

    found = list_keys(Settings.from_environment())
    plain = [{"key_id": one.key_id, "name": one.name, "project_ids": sorted(one.project_ids)} for one in found]

    def shown() -> Table:
        table = Table("KEY", "NAME", "PROJECTS", box=BOX, show_edge=False, pad_edge=False, header_style="bold dim")
        for one in found:
            table.add_row(one.key_id, one.name, ", ".join(sorted(one.project_ids)))
        return table

    Screen(as_json).document(plain, shown)


@key.command()
@click.argument("key_id")
@_as_json
def revoke(key_id: str, as_json: bool) -> None:
    """Make a key open nothing from now on."""
    from mindswarm_exec.api.keys import revoke_key

    if not revoke_key(Settings.from_environment(), key_id):
        raise NotFound(f"there is no key {key_id}. `mindswarm-exec key list` names those that exist.", key_id=key_id)
    Screen(as_json).document({"key_id": key_id, "revoked": True}, lambda: f"{key_id} is revoked")
