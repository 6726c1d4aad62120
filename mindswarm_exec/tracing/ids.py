"""Ids of spans: random, but for the span of an attempt, whose id whoever finds the attempt lost can tell too."""

from __future__ import annotations

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from mindswarm_exec.tracing.spans import chosen_span_id


class AttemptIds(RandomIdGenerator):
    """The SDK's own generator, which gives a span the id that was chosen for it."""

    def generate_span_id(self) -> int:
        return chosen_span_id.get() or super().generate_span_id()
