"""model.json: what a runtime has to know beside the graphs. Needs neither torch nor onnxruntime."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vqaudio.errors import ModelError

FORMAT_VERSION = 1
NAME = "model.json"
GRAPHS = ("encoder", "decoder", "encoder_step", "decoder_step")
"""Each in a file of its name and .onnx."""


@dataclass(frozen=True)
class Step:
    """A graph that takes a stream frame by frame."""

    steps_in: int
    """Samples that a frame takes, or one column of codes."""
    steps_out: int
    """Columns of codes that a frame gives, or samples."""
    lead: int
    """Samples that are taken before the first frame, less than one frame of them."""
    delay: int
    """Steps that come out before the first one of the stream; to be dropped."""
    states: tuple[tuple[int, int], ...]
    """The shape of each state of one stream; all zeros where it begins."""


@dataclass(frozen=True)
class Manifest:
    """The facts of an exported model."""

    fingerprint: str
    """Of the model, as tokens carry it."""
    sample_rate: int
    """Hz."""
    hop_length: int
    """Samples per frame."""
    codebook_sizes: tuple[int, ...]
    causal: bool
    piece_frames: int
    """Long sound is computed in pieces of so many frames, plus context."""
    encoder_context: tuple[int, int]
    """Frames of sound left and right of a piece that its codes depend on."""
    decoder_context: tuple[int, int]
    """Frames of codes left and right of a piece that its samples depend on."""
    encoder_step: Step
    decoder_step: Step
    opset: int
    versions: dict[str, str]
    """Of vqaudio, torch, onnx and onnxscript, with which the graphs were made."""
    files: dict[str, str]
    """SHA-256 of each graph's file."""

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    def to_json(self) -> str:
        return json.dumps({"format_version": FORMAT_VERSION, **asdict(self)}, indent=2) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """The facts of an exported model; raises ModelError where `folder` holds none."""
    try:
        facts = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except OSError:
        raise ModelError(
            f"{folder} is no folder with a {NAME}: make one with vqaudio export-onnx"
        ) from None
    except ValueError as error:
        raise ModelError(f"{folder / NAME} is no JSON: export the model again") from error
    version = facts.get("format_version") if isinstance(facts, dict) else None
    if version != FORMAT_VERSION:
        raise ModelError(
            f"{folder / NAME} has format {version}, this vqaudio reads {FORMAT_VERSION}: export "
            "the model again"
        )
    try:
        return _from_facts(facts)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{folder / NAME} lacks what belongs there ({error}): export the model again"
        ) from error


def _from_facts(facts: dict[str, Any]) -> Manifest:
    names = {name for name in facts if name != "format_version"}
    plain = {name: facts[name] for name in names - {"encoder_step", "decoder_step"}}
    for name in ("codebook_sizes", "encoder_context", "decoder_context"):
        plain[name] = tuple(map(int, plain[name]))
    return Manifest(
        **plain,
        encoder_step=_step(facts["encoder_step"]),
        decoder_step=_step(facts["decoder_step"]),
    )


def _step(facts: dict[str, Any]) -> Step:
    states = tuple((int(one), int(other)) for one, other in facts["states"])
    return Step(**{**facts, "states": states})
