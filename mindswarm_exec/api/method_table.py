"""The one table of methods, and the document that describes it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from mindswarm_exec.api.agent_methods import AgentMethods
from mindswarm_exec.api.caller import Caller
from mindswarm_exec.api.event_methods import EventMethods
from mindswarm_exec.api.execution_methods import ExecutionMethods
from mindswarm_exec.api.jsonrpc import Method
from mindswarm_exec.api.openrpc import describe
from mindswarm_exec.api.task_methods import TaskMethods
from mindswarm_exec.models import params

if TYPE_CHECKING:
    from mindswarm_exec.service import Services


def method_table(services: Services, url: str) -> list[Method[Caller]]:
    """Every method, `rpc.discover` among them."""
    groups = (ExecutionMethods, AgentMethods, TaskMethods, EventMethods)
    methods = [row for group in groups for row in group(services).rows()]
    document: dict[str, Any] = {}

    async def discover(_: Caller, __: params.Nothing) -> dict[str, Any]:
        return document

    methods.append(Method("rpc.discover", params.Nothing, dict[str, Any], discover, "This document, as OpenRPC."))
    document.update(document_of(methods, url))
    return methods


def document_of(methods: list[Method[Caller]], url: str) -> dict[str, Any]:
    """The OpenRPC document of the table."""
    return describe(methods, title="MindSwarm Exec", version=_version(), url=url)


def _version() -> str:
    try:
        return version("mindswarm-exec")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0"
