"""DirectClient: the face of `ExecutionClient`, straight on the ledger, for trusted services beside it."""

from mindswarm_exec.direct.client import DirectClient, DirectHandle

__all__ = ["DirectClient", "DirectHandle"]
