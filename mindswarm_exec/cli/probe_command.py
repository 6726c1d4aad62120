"""The probe of containers: an exit code and a sentence."""

from __future__ import annotations

import click

from mindswarm_exec.errors import LedgerUnavailable
from mindswarm_exec.settings import Settings


@click.command()
@click.option("--api", "is_api", is_flag=True, help="The API on this machine is ready.")
@click.option("--agent", metavar="NAME", help="This agent holds its lease.")
@click.option("--swept-within", type=click.FloatRange(min=0), metavar="SECONDS", help="Deadlines are watched.")
@click.option("--patient", is_flag=True, help="A ledger that is away is no failure: a restart would not help.")
def probe(is_api: bool, agent: str | None, swept_within: float | None, patient: bool) -> None:
    """Exit with 0 if what is asked holds; without a question, if the ledger answers. For health checks."""
    from mindswarm_exec.probe import check_agent, check_api, check_ledger, check_sweeps

    settings = Settings.from_environment()
    try:
        if is_api:
            check_api(settings)
        if agent is not None:
            check_agent(settings, agent)
        if swept_within is not None:
            check_sweeps(settings, swept_within)
        if not is_api:
            check_ledger(settings)
    except LedgerUnavailable:
        if not patient:
            raise
