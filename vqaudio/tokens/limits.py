"""What a token file can hold."""

FORMAT_VERSION = 1
MAX_CODEBOOK_SIZE = 2**16
"""Codes are stored in 16 bits."""
MAX_CODES = 2**28
"""In one file: 512 MiB, a week of sound at 400 codes/s. A few kB on disk can claim any number."""
