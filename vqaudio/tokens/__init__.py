"""Tokens: the codes of one sound, and the files that they are kept in.

Needs NumPy and no torch, so that what only reads tokens starts at once.
"""

from vqaudio.tokens.finding import find_token_files
from vqaudio.tokens.formats import FORMATS, Format
from vqaudio.tokens.limits import FORMAT_VERSION, MAX_CODEBOOK_SIZE, MAX_CODES
from vqaudio.tokens.tokens import Source, Tokens
from vqaudio.tokens.vqs import End, StreamReader, StreamWriter

__all__ = [
    "FORMATS",
    "FORMAT_VERSION",
    "MAX_CODEBOOK_SIZE",
    "MAX_CODES",
    "End",
    "Format",
    "Source",
    "StreamReader",
    "StreamWriter",
    "Tokens",
    "find_token_files",
]
