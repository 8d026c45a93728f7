"""One side of a codec as a line that frames pass, and several lines advanced in one batch.

A frame enters with the samples (or codes) that are new, and meets what the layers remember of the
frames before; nothing is computed twice. Layers that look ahead delay what comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqaudio.codec import Codec
from vqaudio.errors import VqaudioError
from vqaudio.layers import Flow

FRAMES_AT_ONCE = 500
"""Of what was pushed at once, as many are computed in a step: memory stays bounded."""

ENDLESS = 2**40
"""The length of a stream that has not ended, in samples: two years of sound."""


class Side(NamedTuple):
    """The encoder or the decoder of a codec, as lines use it."""

    run: Callable[[Tensor, Flow], Tensor]
    """[B, C, n * step_in], Flow -> [B, C', n * step_out]."""
    device: torch.device
    step_in: int
    """Steps that a frame takes: samples, or one column of codes."""
    step_out: int
    """Steps that a frame gives."""
    lead: int
    """Steps that are taken before the first frame, less than one frame of them."""
    delay: int
    """Steps that come out before the first one of the stream; to be dropped."""
    blank: list[Tensor]
    """The states of a stream that begins, each [C, m]."""
    nothing: NDArray[Any]
    """[C', 0]."""


def encoder_side(codec: Codec, num_codebooks: int) -> Side:
    """Of waveforms [B, 1, S] and codes [B, num_codebooks, T]."""

    def run(waveform: Tensor, flow: Flow) -> Tensor:
        return codec.encode(waveform, flow, num_codebooks=num_codebooks)

    hop = codec.hop_length
    lookahead = codec.receptive_field.last - (hop - 1)
    return _side(run, torch.zeros(1, 1, hop, device=_device(codec)), hop, 1, lookahead % hop)


def decoder_side(codec: Codec, num_codebooks: int) -> Side:
    """Of codes [B, num_codebooks, T] and waveforms [B, 1, S]."""
    codes = torch.zeros(1, num_codebooks, 1, dtype=torch.int64, device=_device(codec))
    return _side(codec.decode, codes, 1, codec.hop_length, 0)


def _side(
    run: Callable[[Tensor, Flow], Tensor], frame: Tensor, step_in: int, step_out: int, lead: int
) -> Side:
    flow = Flow(lag=-lead)
    output = run(frame, flow)
    blank = [torch.zeros_like(state[0]) for state in flow.left_behind]
    nothing = output[0, :, :0].cpu().numpy()
    return Side(run, frame.device, step_in, step_out, lead, flow.lag, blank, nothing)


def _device(codec: Codec) -> torch.device:
    return next(codec.parameters()).device


class Line:
    """One stream on its way through a `Side`."""

    def __init__(self, side: Side, empty: NDArray[Any]) -> None:
        """`empty` [C, 0] says how many channels there are, and of which type."""
        self.side = side
        self.states = side.blank
        self.frame = -1 if side.lead else 0
        """The next one to enter; frame -1 is of the lead, after steps before the beginning."""
        self.fed = 0
        """Steps."""
        self.ended = False
        self.waiting = np.pad(empty, ((0, 0), (0, -self.position)))

    @property
    def position(self) -> int:
        """The place in the stream of the first step that waits."""
        return self.frame * self.side.step_in + self.side.lead

    @property
    def num_waiting(self) -> int:
        """Whole frames."""
        return int(self.waiting.shape[1]) // self.side.step_in

    @property
    def at_an_edge(self) -> bool:
        """Whether layers have to do with steps before the beginning, or after the end."""
        return self.ended or self.frame * self.side.step_out < self.side.delay

    def feed(self, block: NDArray[Any]) -> None:
        """[C, n], any n."""
        self.fed += block.shape[1]
        self.waiting = np.concatenate([self.waiting, block], axis=1)

    def end(self) -> None:
        """Nothing more will be fed: what comes now is what the layers have been waiting for."""
        self.ended = True
        side = self.side
        frames = -(-self.fed // side.step_in) + -(-side.delay // side.step_out)
        missing = frames * side.step_in + side.lead - self.fed
        self.waiting = np.pad(self.waiting, ((0, 0), (0, missing)))

    def first(self, frames: int) -> NDArray[Any]:
        """[C, frames * step_in]: what enters next."""
        return self.waiting[:, : frames * self.side.step_in]

    def give(self, output: NDArray[Any], states: list[Tensor]) -> NDArray[Any]:
        """The first frames have entered: what came out of them, [C', n * step_out], and is left.

        Returns what of it belongs to the stream.
        """
        side = self.side
        frames = output.shape[1] // side.step_out
        first = self.frame * side.step_out - side.delay
        self.frame += frames
        self.waiting = self.waiting[:, frames * side.step_in :]
        self.states = states
        stop = -(-self.fed // side.step_in) * side.step_out if self.ended else ENDLESS
        return output[:, max(-first, 0) : max(stop - first, 0)]


@torch.inference_mode()
def advance(lines: Sequence[Line]) -> list[NDArray[Any]]:
    """Compute all whole frames that wait, those of several lines together.

    All lines are of one `Side`. Returns for each [C', n], what has come out.
    """
    outputs: list[list[NDArray[Any]]] = [[line.side.nothing] for line in lines]
    while moving := [place for place, line in enumerate(lines) if line.num_waiting]:
        frames = min(FRAMES_AT_ONCE, *(lines[place].num_waiting for place in moving))
        for place, part in zip(moving, _step([lines[p] for p in moving], frames), strict=True):
            outputs[place].append(part)
    return [np.concatenate(parts, axis=1) for parts in outputs]


def _step(lines: list[Line], frames: int) -> list[NDArray[Any]]:
    side = lines[0].side
    places = {}
    if any(line.at_an_edge for line in lines):
        stops = [line.fed if line.ended else ENDLESS for line in lines]
        places = {
            "start": torch.tensor([line.position for line in lines], device=side.device),
            "stop": torch.tensor(stops, device=side.device),
        }
    states = [torch.stack(one) for one in zip(*(line.states for line in lines), strict=True)]
    flow = Flow(states, lag=-side.lead, **places)
    entering = torch.from_numpy(np.stack([line.first(frames) for line in lines]))
    outputs = side.run(entering.to(side.device), flow).cpu().numpy()
    # Of its own, not a view of the batch, which would be kept for it.
    left = [[state[place].clone() for state in flow.left_behind] for place in range(len(lines))]
    return [line.give(*one) for line, *one in zip(lines, outputs, left, strict=True)]


def check_open(line: Line) -> None:
    """Raises VqaudioError for a stream that has ended."""
    if line.ended:
        raise VqaudioError("the stream has ended: make a new one")
