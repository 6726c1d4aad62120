"""Flower on the engine's broker: agents are its workers, attempts its tasks.

    mindswarm-exec flower
    celery -A mindswarm_exec.flower flower

Flower reads Celery's events and speaks Celery's remote control; it never sees the ledger.
"""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from celery import Celery

from mindswarm_exec.celery_app import create_app
from mindswarm_exec.embedded import ledger_url
from mindswarm_exec.errors import InvalidRequest
from mindswarm_exec.logs import configure_logging
from mindswarm_exec.models.addresses import is_loopback
from mindswarm_exec.settings import Settings

#: Flower's own variables for its passwords, either of which lets it listen beyond this machine.
GUARDS = ("FLOWER_BASIC_AUTH", "FLOWER_AUTH")


def main(settings: Settings, address: str, port: int) -> None:
    """Run Flower until told to stop.

    Raises:
        InvalidRequest: it is not installed, or would be open to others without a password.
    """
    must_not_be_exposed(address)
    if importlib.util.find_spec("flower") is None:
        raise InvalidRequest("Flower is not installed: pip install 'mindswarm-exec[flower]'.")
    configure_logging(settings, "flower")
    # its own logging, "none", would be a second one
    make_app(settings).start(["flower", f"--address={address}", f"--port={port}", "--logging=none"])


def must_not_be_exposed(address: str) -> None:
    """Raises InvalidRequest if Flower, which can run and cancel anything, would be open to others."""
    if not is_loopback(address) and not any(os.environ.get(name) for name in GUARDS):
        raise InvalidRequest(
            f"Flower does not start on {address} without a password: whoever reaches it could run and cancel "
            "anything. Set FLOWER_BASIC_AUTH=user:password, or --address 127.0.0.1.",
            address=address,
        )


def make_app(settings: Settings) -> Celery:
    url, _ = ledger_url(settings)
    return create_app(settings, url, "mindswarm-flower")


def __getattr__(name: str) -> Any:
    """`celery -A mindswarm_exec.flower flower` asks for `app`; importing this module by itself does nothing."""
    if name in ("app", "celery"):
        settings = Settings.from_environment()
        if settings.log_format == "json":  # else as Flower's own options say
            configure_logging(settings, "flower")
        return globals().setdefault("app", make_app(settings))
    raise AttributeError(name)
