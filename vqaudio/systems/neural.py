"""Published codecs of others as systems: each at the bitrates that it is meant to be used at."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from vqaudio.errors import ModelError, VqaudioError
from vqaudio.systems.carrying import checked, fit, to_rate
from vqaudio.systems.system import Transmission, Waveform

if TYPE_CHECKING:
    from vqaudio.peers import PeerCodec


class Published(NamedTuple):
    """A model that its authors put on the hub."""

    label: str
    repository: str
    kind: str
    """Label of its Network."""
    rates: tuple[float, ...]
    """bit/s."""


def _multiples(rate: float, counts: Iterable[int]) -> tuple[float, ...]:
    return tuple(rate * count for count in counts)


ENCODEC_RATES = (1500.0, 3000.0, 6000.0, 12000.0, 24000.0)
XCODEC_RATES = (500.0, 1000.0, 1500.0, 2000.0, 4000.0)
PEERS = {
    "encodec": Published("EnCodec", "facebook/encodec_24khz", "EnCodec", ENCODEC_RATES),
    "dac": Published("DAC 16 kHz", "descript/dac_16khz", "DAC", _multiples(500, range(1, 13))),
    "dac-24k": Published("DAC 24 kHz", "descript/dac_24khz", "DAC", _multiples(750, range(1, 33))),
    "dac-44k": Published(
        "DAC 44.1 kHz", "descript/dac_44khz", "DAC", _multiples(441000 / 512, range(1, 10))
    ),
    "mimi": Published("Mimi", "kyutai/mimi", "Mimi", _multiples(137.5, range(2, 33))),
    "x-codec": Published("X-Codec", "hf-audio/xcodec-hubert-librispeech", "X-Codec", XCODEC_RATES),
    "snac": Published("SNAC", "hubertsiuzdak/snac_24khz", "SNAC", (984.375,)),
}


class NeuralSystem:
    """A codec of others as a System. A frame is only known to be whole once the file has ended, so
    the delay of a stream does not show."""

    def __init__(
        self, name: str, codec: PeerCodec, levels: int, *, label: str, family: str, source: str
    ) -> None:
        self.name = name
        self.label = label
        self.family = family
        self.delay = 0  # all were trained to give back each sample in its place
        self.codebook_sizes = codec.codebook_sizes[:levels]
        self.about = {
            "mode": f"{levels} of {len(codec.codebook_sizes)} rows of codes",
            "model": source,
            "bits": "codes stored plainly",
            "sample rate inside": f"{codec.sample_rate} Hz",
        }
        self.codec = codec

    def prepare(self, waveforms: Sequence[Waveform], sample_rate: int) -> None:
        """Nothing: these codecs take one file at a time."""

    def transmit(self, waveform: Waveform, sample_rate: int) -> Transmission:
        """Raises AudioError."""
        import torch

        codec, waveform = self.codec, checked(waveform, sample_rate)
        device = next(codec.parameters()).device
        started = perf_counter()
        inside = torch.from_numpy(to_rate(waveform, sample_rate, codec.sample_rate))
        codes = codec.encode(inside[None, None].to(device), num_codebooks=len(self.codebook_sizes))
        in_numpy = codes[0].cpu().numpy()
        encoded = perf_counter()
        decoded = codec.decode(codes)[0, 0, : len(inside)].cpu().numpy()
        outside = to_rate(decoded, codec.sample_rate, sample_rate)
        done = perf_counter()
        return Transmission(
            fit(outside, len(waveform)),
            math.ceil(codes.shape[-1] * sum(map(math.log2, self.codebook_sizes))),
            encoded - started,
            done - encoded,
            in_numpy,
        )


def find_peer(
    name: str, key: str, folder: str | None, bitrate: float | None, *, device: str
) -> NeuralSystem:
    """The system `name`: PEERS[key] with the weights of `folder` (None: the published ones).

    Systems of several bitrates share the weights.

    Raises VqaudioError for a bitrate that it lacks, MissingError, ModelError.
    """
    peer = PEERS[key]
    if folder is None:  # before anything is fetched
        bitrate = choose(bitrate, peer.rates, key)
    source = peer.repository if folder is None else folder
    codec = _load(source, key, device)
    rates = rates_of(codec)
    rate = choose(bitrate, rates, key)
    label = f"{peer.label} {rate / 1000:.4g} kbit/s"
    return NeuralSystem(name, codec, rates[rate], label=label, family=peer.label, source=source)


def rates_of(codec: PeerCodec) -> dict[float, int]:
    """bit/s -> levels that the codec is meant to be used with."""
    return {codec.bitrate(levels): levels for levels in codec.network.trained}


def choose(bitrate: float | None, rates: Iterable[float], name: str) -> float:
    """That of `rates` which is `bitrate` within a thousandth; None where there is only one.

    Raises VqaudioError.
    """
    available = list(rates)
    if bitrate is None and len(available) == 1:
        return available[0]
    for rate in available:
        if bitrate is not None and math.isclose(rate, bitrate, rel_tol=1e-3):
            return rate
    came = "needs a bitrate" if bitrate is None else f"has no {bitrate:g} bit/s"
    allowed = ", ".join(f"{name}@{rate:g}" for rate in available)
    raise VqaudioError(f"{name} {came}: choose from {allowed}")


@lru_cache(maxsize=4)
def _load(source: str, key: str, device: str) -> PeerCodec:
    from vqaudio.devices import find_device
    from vqaudio.peers import find_files, load_codec

    files, kind = find_files(source), PEERS[key].kind
    if files.kind.label != kind:
        raise ModelError(f"{source} holds no {kind}: it is of the kind {files.kind.label}")
    return load_codec(files).to(find_device(device))
