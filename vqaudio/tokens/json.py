"""Tokens as .json: one object, the codes as lists, for whoever has anything at all."""

from __future__ import annotations

import json
from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqaudio.entropy import Coder


def write(header: dict[str, Any], codes: NDArray[Any], _: Coder | None = None) -> bytes:
    return json.dumps({**header, "codes": codes.tolist()}).encode() + b"\n"


def read(data: bytes, _: Coder | None = None) -> tuple[dict[str, Any], NDArray[Any]]:
    """Header and codes; raises what the readers of JSON and arrays raise."""
    header = json.loads(data.decode("utf-8"))
    # NumPy would take strings and floats too, and make room for all to be as long as the longest.
    return header, np.array([array("H", row) for row in header.pop("codes")])
