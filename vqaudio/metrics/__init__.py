"""How near a degraded waveform is to its reference, and how natural and clear it is.

Both are mono arrays [S] of equal length, floating point, full scale 1; at another length, shape or
with samples that are no numbers, AudioError. nan stands for "no value": silence, too little sound.
No measure tells the whole story: STOI hears intelligibility and no timbre, the mel distance hears
spectra and no phase, SI-SDR hears the waveform itself, which a codec that draws new phases cannot
keep, and the networks without a reference would not notice other words.

spectral         mel and STFT distance
cepstra          mel-cepstral distortion
sdr              SI-SDR
intelligibility  STOI, ESTOI
perceptual       PESQ, ViSQOL
pitch            pitch and voicing errors
speaker          speaker similarity
naturalness      DNSMOS, DistillMOS
words            word errors of a recogniser
alignment        the delay of a codec
intervals        how sure a mean is
table            METRICS: all of the above that compare waveforms, by name

Libraries are imported where they are used: `pip install 'vqaudio[eval]'` brings them, and
'vqaudio[asr]' the recognisers.
"""

from vqaudio.metrics.alignment import Delay, estimate_delay, shift
from vqaudio.metrics.cepstra import mel_cepstral_distortion
from vqaudio.metrics.intelligibility import STOI_SECONDS, estoi, stoi
from vqaudio.metrics.intervals import (
    Interval,
    bootstrap_interval,
    bootstrap_ratio,
    paired_difference,
)
from vqaudio.metrics.naturalness import distillmos, dnsmos
from vqaudio.metrics.perceptual import pesq_nb, pesq_wb, visqol
from vqaudio.metrics.pitch import f0_error, voicing_error
from vqaudio.metrics.sdr import si_sdr
from vqaudio.metrics.speaker import speaker_similarity
from vqaudio.metrics.spectral import MEL_FLOOR, MEL_WINDOWS, mel_distance, stft_distance
from vqaudio.metrics.table import METRICS, Metric, missing
from vqaudio.metrics.waveforms import Waveform
from vqaudio.metrics.words import Recognizer, WordErrors, find_recognizer, word_errors

__all__ = [
    "MEL_FLOOR",
    "MEL_WINDOWS",
    "METRICS",
    "STOI_SECONDS",
    "Delay",
    "Interval",
    "Metric",
    "Recognizer",
    "Waveform",
    "WordErrors",
    "bootstrap_interval",
    "bootstrap_ratio",
    "distillmos",
    "dnsmos",
    "estimate_delay",
    "estoi",
    "f0_error",
    "find_recognizer",
    "mel_cepstral_distortion",
    "mel_distance",
    "missing",
    "paired_difference",
    "pesq_nb",
    "pesq_wb",
    "shift",
    "si_sdr",
    "speaker_similarity",
    "stft_distance",
    "stoi",
    "visqol",
    "voicing_error",
    "word_errors",
]
