"""The four graphs of a codec, traced by torch.onnx.

encoder        waveform [B, 1, S] -> codes [B, Q, T]
decoder        codes [B, Q, T] -> waveform [B, 1, T * hop_length]
encoder_step   waveform [B, 1, n * hop_length], start, stop, states -> codes [B, Q, n], states
decoder_step   codes [B, Q, n], start, stop, states -> waveform [B, 1, n * hop_length], states

The steps are those of vqaudio.streaming: `start` [B] is the place in its sequence of each first
step of the input, `stop` [B] the length of each sequence, the states are what `Flow` leaves behind.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim

from vqaudio.codec import Codec
from vqaudio.errors import ModelError
from vqaudio.layers import Flow, SpectralAnalysis, SpectralSynthesis
from vqaudio.line import ENDLESS
from vqaudio.onnx.codebooks import FrozenCodebook
from vqaudio.onnx.spectra import RealFourier
from vqaudio.streaming import Side

OPSET = 20
"""The first with Gelu as one operator."""


def with_onnx_parts(codec: Codec) -> Codec:
    """A copy whose spectra and codebooks are such that ONNX has words for them."""
    codec = copy.deepcopy(codec).eval()
    for module in list(codec.modules()):
        if isinstance(module, SpectralAnalysis | SpectralSynthesis):
            module.fourier = RealFourier(module.window_length, module.hop_length)
    codec.quantizer.codebooks = nn.ModuleList(map(FrozenCodebook, codec.quantizer.codebooks))
    return codec.requires_grad_(False)


class Encoder(nn.Module):
    """[B, 1, S] -> [B, Q, ceil(S / hop_length)] int64."""

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, waveform: Tensor) -> Tensor:
        hop, num_samples = self.codec.hop_length, waveform.shape[-1]
        # Whole frames, so that no layer has to divide a length and round up: the converter
        # gets that wrong. What was added is marked as such, for the layers before the last.
        frames = (num_samples + hop - 1) // hop
        padded = F.pad(waveform, (0, frames * hop - num_samples))
        lengths = torch.full((waveform.shape[0],), num_samples)
        latents = self.codec.encoder(padded, lengths)
        return self.codec.quantizer.encode(latents.transpose(1, 2)).transpose(1, 2)


class Decoder(nn.Module):
    """[B, Q, T] -> [B, 1, T * hop_length]."""

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, codes: Tensor) -> Tensor:
        latents = self.codec.quantizer.decode(codes.transpose(1, 2))
        waveform: Tensor = self.codec.decoder(latents.transpose(1, 2))
        return waveform


class EncoderStep(nn.Module):
    """[B, 1, n * hop_length], [B], [B], states -> [B, Q, n] int64, states."""

    def __init__(self, codec: Codec, lead: int) -> None:
        super().__init__()
        self.codec = codec
        self.lead = lead

    def forward(
        self, waveform: Tensor, start: Tensor, stop: Tensor, states: list[Tensor]
    ) -> list[Tensor]:
        flow = Flow(states, lag=-self.lead, start=start, stop=stop)
        latents = self.codec.encoder(waveform, flow)
        codes = self.codec.quantizer.encode(latents.transpose(1, 2)).transpose(1, 2)
        return [codes, *flow.left_behind]


class DecoderStep(nn.Module):
    """[B, Q, n], [B], [B], states -> [B, 1, n * hop_length], states."""

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.codec = codec

    def forward(
        self, codes: Tensor, start: Tensor, stop: Tensor, states: list[Tensor]
    ) -> list[Tensor]:
        flow = Flow(states, start=start, stop=stop)
        latents = self.codec.quantizer.decode(codes.transpose(1, 2))
        return [self.codec.decoder(latents.transpose(1, 2), flow), *flow.left_behind]


class Trace(NamedTuple):
    """A module, and inputs of some size that show torch what it computes."""

    module: nn.Module
    inputs: tuple[Any, ...]
    sizes: tuple[Any, ...]
    """By input, which dimensions may have any size."""
    output: str


def traces(codec: Codec, encoder_side: Side, decoder_side: Side) -> dict[str, Trace]:
    """The four graphs of `codec`, whose parts ONNX has words for, by name."""
    batch, frames = Dim("batch"), Dim("frames")
    # Named sizes have to be proven, and the proof fails where lengths are rounded up.
    unproven = ({0: Dim.DYNAMIC, 2: Dim.DYNAMIC},)
    hop = codec.hop_length
    # Of no dimension 0 or 1: torch would take such a size for the only one.
    waveform = torch.zeros(2, 1, 3 * hop)
    codes = torch.zeros(2, len(codec.codebook_sizes), 3, dtype=torch.int64)
    places = {0: batch}

    def step(module: nn.Module, side: Side, inputs: Tensor, size: Any, output: str) -> Trace:
        states = [torch.stack([state, state]) for state in side.blank]
        start, stop = torch.tensor([0, 0]), torch.tensor([ENDLESS, ENDLESS])
        sizes = ({0: batch, 2: size}, places, places, [places] * len(states))
        return Trace(module, (inputs, start, stop, states), sizes, output)

    return {
        "encoder": Trace(Encoder(codec), (torch.zeros(2, 1, 3 * hop - 1),), unproven, "codes"),
        "decoder": Trace(Decoder(codec), (codes,), unproven, "waveform"),
        "encoder_step": step(
            EncoderStep(codec, encoder_side.lead), encoder_side, waveform, hop * frames, "codes"
        ),
        "decoder_step": step(DecoderStep(codec), decoder_side, codes, frames, "waveform"),
    }


def write_graph(trace: Trace, path: Path) -> None:
    """Trace one graph and write it to a file; raises ModelError without the onnx packages."""
    first = "codes" if trace.output == "waveform" else "waveform"
    inputs, outputs = [first], [trace.output]
    if len(trace.inputs) > 1:
        states = [f"state_{place}" for place in range(len(trace.inputs[-1]))]
        inputs += ["start", "stop", *states]
        outputs += [f"next_{name}" for name in states]
    with _quiet():
        program = torch.export.export(
            trace.module, trace.inputs, dynamic_shapes=trace.sizes, strict=False
        )
        graph = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            verbose=False,
        )
    assert graph is not None
    graph.save(path, external_data=False)


def check_packages() -> None:
    """Raises ModelError where what torch.onnx needs is not installed."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ModelError(
            f"exporting to ONNX needs {error.name}: pip install vqaudio[onnx]"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's remarks that torchvision is not installed."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
