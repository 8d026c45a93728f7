"""Every metric that compares waveforms, by name: what it means, needs and costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

from vqaudio.errors import VqaudioError
from vqaudio.metrics.cepstra import mel_cepstral_distortion
from vqaudio.metrics.intelligibility import estoi, stoi
from vqaudio.metrics.libraries import is_installed
from vqaudio.metrics.naturalness import distillmos, dnsmos
from vqaudio.metrics.perceptual import pesq_nb, pesq_wb, visqol
from vqaudio.metrics.pitch import f0_error, voicing_error
from vqaudio.metrics.sdr import si_sdr
from vqaudio.metrics.speaker import speaker_similarity
from vqaudio.metrics.spectral import mel_distance, stft_distance
from vqaudio.metrics.waveforms import Waveform

Compute = Callable[[Waveform, Waveform, int], float]
"""reference [S], degraded [S], sample_rate in Hz -> value, nan for none."""


class Metric(NamedTuple):
    """What a reader must know of one metric, and how to compute it."""

    name: str
    label: str
    unit: str
    """Empty for none."""
    direction: Literal["higher", "lower"]
    """Which is better."""
    range: str
    source: str
    needs: str
    """Distribution to install beside vqaudio's own requirements, empty for none."""
    module: str
    """What that distribution is imported as."""
    reference: bool
    """False where `compute` listens to `degraded` only; it still has no value where the reference
    is silent, so that every system is averaged over the same files as the original."""
    cost: float
    """Seconds of one core (a Xeon at 2.5 GHz) per second of sound, measured with 14 s at 16 kHz
    and without the time to load models: its order of magnitude."""
    compute: Compute


def _of_sound(opinion: Callable[[Waveform, int], float]) -> Compute:
    """`opinion` of `degraded`, nan where `reference` is silent."""

    def compute(reference: Waveform, degraded: Waveform, sample_rate: int) -> float:
        value = opinion(degraded, sample_rate)
        return value if reference.any() else math.nan

    return compute


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            name="mel_distance",
            label="Mel distance",
            unit="",
            direction="lower",
            range="0 to about 20; 1 is 8.7 dB",
            source="mean |ln mel - ln mel|, five windows; Kumar et al. 2023, arXiv:2306.06546",
            needs="",
            module="",
            reference=True,
            cost=0.01,
            compute=mel_distance,
        ),
        Metric(
            name="stft_distance",
            label="STFT distance",
            unit="dB",
            direction="lower",
            range="0 to about 100",
            source="mean log-amplitude difference, three windows; Yamamoto et al. 2020, "
            "arXiv:1910.11480, equation 5",
            needs="",
            module="",
            reference=True,
            cost=0.009,
            compute=stft_distance,
        ),
        Metric(
            name="mel_cepstral_distortion",
            label="Mel-cepstral distortion",
            unit="dB",
            direction="lower",
            range="0 and up",
            source="c1 to c13 of 40 mel bands, no time warping; Kubichek 1993",
            needs="",
            module="",
            reference=True,
            cost=0.01,
            compute=mel_cepstral_distortion,
        ),
        Metric(
            name="si_sdr",
            label="SI-SDR",
            unit="dB",
            direction="higher",
            range="any value",
            source="Le Roux et al. 2019, arXiv:1811.02508",
            needs="",
            module="",
            reference=True,
            cost=0.0002,
            compute=lambda reference, degraded, _: si_sdr(reference, degraded),
        ),
        Metric(
            name="stoi",
            label="STOI",
            unit="",
            direction="higher",
            range="about 0 to 1",
            source="Taal et al. 2011; pystoi",
            needs="pystoi",
            module="pystoi",
            reference=True,
            cost=0.01,
            compute=stoi,
        ),
        Metric(
            name="estoi",
            label="ESTOI",
            unit="",
            direction="higher",
            range="about 0 to 1",
            source="Jensen and Taal 2016; pystoi",
            needs="pystoi",
            module="pystoi",
            reference=True,
            cost=0.02,
            compute=estoi,
        ),
        Metric(
            name="pesq_wb",
            label="PESQ, wideband",
            unit="MOS-LQO",
            direction="higher",
            range="1.04 to 4.64",
            source="ITU-T P.862.2; pesq",
            needs="pesq",
            module="pesq",
            reference=True,
            cost=0.02,
            compute=pesq_wb,
        ),
        Metric(
            name="pesq_nb",
            label="PESQ, narrowband",
            unit="MOS-LQO",
            direction="higher",
            range="1.02 to 4.56",
            source="ITU-T P.862 and P.862.1; pesq",
            needs="pesq",
            module="pesq",
            reference=True,
            cost=0.01,
            compute=pesq_nb,
        ),
        Metric(
            name="visqol",
            label="ViSQOL, speech mode",
            unit="MOS-LQO",
            direction="higher",
            range="1 to 5",
            source="Chinen et al. 2020, arXiv:2004.09584; visqol-python, exponential mapping",
            needs="visqol-python",
            module="visqol",
            reference=True,
            cost=0.1,
            compute=visqol,
        ),
        Metric(
            name="f0_error",
            label="Pitch error",
            unit="cents",
            direction="lower",
            range="0 and up; an octave is 1200",
            source="RMSE over frames voiced in both; DIO and StoneMask of WORLD, pyworld",
            needs="pyworld-prebuilt",
            module="pyworld",
            reference=True,
            cost=0.02,
            compute=f0_error,
        ),
        Metric(
            name="voicing_error",
            label="Voicing error",
            unit="",
            direction="lower",
            range="0 to 1, fraction of frames",
            source="frames voiced in one only; DIO of WORLD, pyworld",
            needs="pyworld-prebuilt",
            module="pyworld",
            reference=True,
            cost=0.02,
            compute=voicing_error,
        ),
        Metric(
            name="speaker_similarity",
            label="Speaker similarity",
            unit="",
            direction="higher",
            range="0 to 1",
            source="cosine of GE2E embeddings, Wan et al. 2018, arXiv:1710.10467; resemblyzer",
            needs="resemblyzer",
            module="resemblyzer",
            reference=True,
            cost=0.02,
            compute=speaker_similarity,
        ),
        Metric(
            name="dnsmos",
            label="DNSMOS, overall",
            unit="MOS",
            direction="higher",
            range="1 to 5",
            source="without reference; Reddy et al. 2022, arXiv:2110.01763; speechmos",
            needs="speechmos",
            module="speechmos",
            reference=False,
            cost=0.2,
            compute=_of_sound(dnsmos),
        ),
        Metric(
            name="distillmos",
            label="DistillMOS",
            unit="MOS",
            direction="higher",
            range="1 to 5",
            source="without reference; Stahl and Gamper 2025, arXiv:2502.05356; distillmos",
            needs="distillmos",
            module="distillmos",
            reference=False,
            cost=0.3,
            compute=_of_sound(distillmos),
        ),
    )
}
"""In the order in which a table of results reads well: distances, clearness, opinions, voice."""


def missing(name: str) -> str:
    """Why METRICS[name] cannot be computed here: a sentence, or "" where it can.

    Raises VqaudioError for a name that METRICS has not.
    """
    if name not in METRICS:
        raise VqaudioError(f"there is no metric {name!r}: choose from {', '.join(METRICS)}.")
    metric = METRICS[name]
    if not metric.module or is_installed(metric.module):
        return ""
    return f"{metric.label} needs {metric.needs}: pip install 'vqaudio[eval]'."
