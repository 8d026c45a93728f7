"""The codecs that an evaluation compares, each behind the same few lines.

system     what a system is: a waveform in, the same waveform out, and the bits it took
finding    systems by name, such as opus@6000
carrying   sample rates and lengths before and after a coder
original   the recording itself
programs   codecs that are programs: opus, codec2, speex, amr_wb
neural     codecs that are networks of others
own        models of vqaudio
sanity     whether a row can be trusted
"""

from vqaudio.errors import MissingError
from vqaudio.systems.finding import STANDARD, find_system, rate_of
from vqaudio.systems.sanity import check
from vqaudio.systems.system import System, Transmission, Waveform

__all__ = [
    "STANDARD",
    "MissingError",
    "System",
    "Transmission",
    "Waveform",
    "check",
    "find_system",
    "rate_of",
]
