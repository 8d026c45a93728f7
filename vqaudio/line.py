"""A stream on its way through the encoder or decoder of a codec, frame by frame: what waits, where
it is, and what of the output belongs to it. Who computes the frames, torch or a graph, is not known
here.
"""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vqaudio.errors import VqaudioError

FRAMES_AT_ONCE = 500
"""Of what was pushed at once, as many are computed in a step: memory stays bounded."""

ENDLESS = 2**40
"""The length of a stream that has not ended, in samples: two years of sound."""


class Pace(Protocol):
    """How the steps of a stream become frames, and frames steps again."""

    @property
    def steps_in(self) -> int:
        """Steps that a frame takes: samples, or one column of codes."""
        ...

    @property
    def steps_out(self) -> int:
        """Steps that a frame gives."""
        ...

    @property
    def lead(self) -> int:
        """Steps that are taken before the first frame, less than one frame of them."""
        ...

    @property
    def delay(self) -> int:
        """Steps that come out before the first one of the stream; to be dropped."""
        ...


SideT = TypeVar("SideT", bound=Pace)


class Line(Generic[SideT]):
    """One stream on its way through a `side` of a codec."""

    def __init__(self, side: SideT, empty: NDArray[Any], states: list[Any]) -> None:
        """`empty` [C, 0] says how many channels there are, and of which type; `states` are what
        the layers remember of a stream that begins."""
        self.side = side
        self.states = states
        self.frame = -1 if side.lead else 0
        """The next one to enter; frame -1 is of the lead, after steps before the beginning."""
        self.fed = 0
        """Steps."""
        self.ended = False
        self.waiting = np.pad(empty, ((0, 0), (0, -self.position)))

    @property
    def position(self) -> int:
        """The place in the stream of the first step that waits."""
        return self.frame * self.side.steps_in + self.side.lead

    @property
    def length(self) -> int:
        """Steps of the stream, as far as that is known."""
        return self.fed if self.ended else ENDLESS

    @property
    def num_waiting(self) -> int:
        """Whole frames."""
        return int(self.waiting.shape[1]) // self.side.steps_in

    @property
    def at_an_edge(self) -> bool:
        """Whether layers have to do with steps before the beginning, or after the end."""
        return self.ended or self.frame * self.side.steps_out < self.side.delay

    def check_open(self) -> None:
        """Raises VqaudioError for a stream that has ended."""
        if self.ended:
            raise VqaudioError("the stream has ended: make a new one")

    def feed(self, block: NDArray[Any]) -> None:
        """[C, n], any n."""
        self.fed += block.shape[1]
        self.waiting = np.concatenate([self.waiting, block], axis=1)

    def end(self) -> None:
        """Nothing more will be fed: what comes now is what the layers have been waiting for."""
        self.ended = True
        side = self.side
        frames = -(-self.fed // side.steps_in) + -(-side.delay // side.steps_out)
        missing = frames * side.steps_in + side.lead - self.fed
        self.waiting = np.pad(self.waiting, ((0, 0), (0, missing)))

    def first(self, frames: int) -> NDArray[Any]:
        """[C, frames * steps_in]: what enters next."""
        return self.waiting[:, : frames * self.side.steps_in]

    def give(self, output: NDArray[Any], states: list[Any]) -> NDArray[Any]:
        """The first frames have entered: what came out of them, [C', n * steps_out], and is left.

        Returns what of it belongs to the stream.
        """
        side = self.side
        frames = output.shape[1] // side.steps_out
        first = self.frame * side.steps_out - side.delay
        self.frame += frames
        self.waiting = self.waiting[:, frames * side.steps_in :]
        if not self.num_waiting:
            self.waiting = self.waiting.copy()  # a view would hold all that was pushed with it
        self.states = states
        stop = -(-self.fed // side.steps_in) * side.steps_out if self.ended else ENDLESS
        return output[:, max(-first, 0) : max(stop - first, 0)]
