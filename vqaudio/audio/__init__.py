"""Sound files in and out: mono float32 waveforms [1, S], without torch.

reading     files and pipes -> checked, downmixed, resampled blocks, in constant memory
ahead       blocks read by another thread, beside the model
parts       a part of a file, found by seeking
decoding    libsndfile first, PyAV for the rest
intake      live sound in blocks, checked and resampled as one
piping      wav through pipes, as it comes
ogg         where libsndfile may jump to in one
resampling  one streaming resampler for files and arrays
writing     16-bit wav, flac and ogg, whole or not at all
arrays      samples in memory, treated like those of a file
finding     the audio files below a folder
"""

from vqaudio.audio.ahead import read_ahead
from vqaudio.audio.arrays import as_mono, as_waveform
from vqaudio.audio.decoding import AudioInfo
from vqaudio.audio.finding import AUDIO_SUFFIXES, find_audio
from vqaudio.audio.intake import Block, Intake
from vqaudio.audio.parts import read_part
from vqaudio.audio.piping import PipedWavWriter
from vqaudio.audio.reading import Audio, AudioStream, info, read, read_blocks
from vqaudio.audio.resampling import Resampler, resample
from vqaudio.audio.writing import WRITE_FORMATS, AudioWriter, write, write_blocks

__all__ = [
    "AUDIO_SUFFIXES",
    "WRITE_FORMATS",
    "Audio",
    "AudioInfo",
    "AudioStream",
    "AudioWriter",
    "Block",
    "Intake",
    "PipedWavWriter",
    "Resampler",
    "as_mono",
    "as_waveform",
    "find_audio",
    "info",
    "read",
    "read_ahead",
    "read_blocks",
    "read_part",
    "resample",
    "write",
    "write_blocks",
]
