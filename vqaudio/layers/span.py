"""Which input steps an output step is computed from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol


class Span(NamedTuple):
    """The steps `first` to `last`, both included, on some layer's time axis.

    >>> len(range(Span(-3, 3).first, Span(-3, 3).last + 1))
    7
    """

    first: int
    last: int


class Layer(Protocol):
    """What computes steps from steps and knows which."""

    def needs(self, span: Span) -> Span:
        """The input steps that the output steps `span` depend on."""
        ...


def needs_through(layers: Iterable[Layer], span: Span) -> Span:
    """The input steps of a stack that its output steps `span` depend on.

    Exact for a stack whose layers all see the zero padding at the ends of the sequence: a step
    outside of the sequence counts as needed although it is known to be zero.
    """
    for layer in reversed(list(layers)):
        span = layer.needs(span)
    return span
