"""Systems by name: `name@bit/s`, as they are asked for on the command line."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from vqaudio.errors import VqaudioError
from vqaudio.hub import PEER_PREFIX, is_repository
from vqaudio.systems import amr_wb, codec2, opus, speex
from vqaudio.systems.neural import PEERS, choose, find_peer
from vqaudio.systems.original import Original
from vqaudio.systems.own import find_encoder, find_own
from vqaudio.systems.programs import ProgramCoder, ProgramSystem
from vqaudio.systems.system import System

ORIGINAL = "original"


class Classical(NamedTuple):
    """A codec whose encoder is a program."""

    label: str
    rates: tuple[int, ...]
    """bit/s."""
    coder: Callable[[float], ProgramCoder]


CLASSICAL = {
    "opus": Classical("Opus", opus.RATES, opus.Opus),
    "codec2": Classical("Codec 2", codec2.RATES, codec2.Codec2),
    "speex": Classical(
        "Speex", tuple(speex.WIDEBAND.qualities), partial(speex.Speex, speex.WIDEBAND)
    ),
    "speex-nb": Classical(
        "Speex narrowband",
        tuple(speex.NARROWBAND.qualities),
        partial(speex.Speex, speex.NARROWBAND),
    ),
    "amr-wb": Classical("AMR-WB", amr_wb.RATES, amr_wb.AmrWb),
}

STANDARD = (
    ORIGINAL,
    *(f"opus@{rate}" for rate in (6000, 9000, 12000, 16000, 24000)),
    *(f"codec2@{rate}" for rate in (700, 1300, 2400, 3200)),
    *(f"speex@{rate}" for rate in (4000, 6000, 10000, 16800, 24000)),
    *(f"amr-wb@{rate}" for rate in (6600, 12650, 23850)),
)
"""What an evaluation compares with, unless it is told otherwise: neither network nor weights."""


class Spec(NamedTuple):
    """The parts of `name:folder@bit/s`."""

    name: str
    """A key of a table here, or what `vqaudio.load` takes: name, file, run folder, hf:..."""
    folder: str | None
    """Of weights."""
    bitrate: float | None


def find_system(spec: str, *, sample_rate: int, device: str = "cpu") -> System:
    """The system that `spec` names, for waveforms of `sample_rate` Hz.

    Raises VqaudioError for a name or bitrate that there is not, MissingError for what is not
    installed, ModelError for a model or device that is none.
    """
    name, folder, bitrate = parse(spec)
    if name == ORIGINAL:
        if bitrate is not None:
            raise VqaudioError(f"{spec}: the original has no bitrate to choose, leave it out")
        return Original(spec)
    if name in PEERS:
        return find_peer(spec, name, folder, bitrate, device=device)
    if name in CLASSICAL:
        codec = CLASSICAL[name]
        rate = choose(bitrate, codec.rates, name)
        return ProgramSystem(
            spec,
            codec.coder(rate),
            label=f"{codec.label} {rate / 1000:g} kbit/s",
            family=codec.label,
            sample_rate=sample_rate,
        )
    return find_own(spec, name, bitrate, device=device)


def rate_of(spec: str) -> int | None:
    """Hz of the model of ours that `spec` names, None for any other system.

    Raises VqaudioError for a name that there is not, ModelError for a model that is none.
    """
    name = parse(spec).name
    if name == ORIGINAL or name in PEERS or name in CLASSICAL:
        return None
    return find_encoder(name, "cpu").tokenizer.sample_rate


def parse(spec: str) -> Spec:
    """The parts of a spec; raises VqaudioError for a name that there is not.

    >>> parse("encodec:weights/encodec@3000")
    Spec(name='encodec', folder='weights/encodec', bitrate=3000.0)
    """
    whole, at, rate = spec.rpartition("@")
    try:
        bitrate = float(rate) if at else None
    except ValueError:
        bitrate = None
    if bitrate is None:  # no @, or one in a path
        whole = spec
    name, colon, folder = whole.partition(":")
    if name in PEERS and colon:
        return Spec(name, folder, bitrate)
    if whole in PEERS or whole in CLASSICAL or whole == ORIGINAL or _is_model(whole):
        return Spec(whole, None, bitrate)
    known = ", ".join((ORIGINAL, *CLASSICAL, *PEERS))
    raise VqaudioError(
        f"there is no system {spec!r}: choose from {known}, followed by @ and bit/s, or a model of "
        "vqaudio"
    )


def _is_model(name: str) -> bool:
    bundled = Path(__file__).parent.parent / "models" / f"{name}.safetensors"
    named = name.startswith(PEER_PREFIX) or is_repository(name) or bundled.exists()
    return named or name.endswith(".safetensors") or os.path.exists(name)
