"""Devices by name, as they are asked for on the command line."""

from __future__ import annotations

import re

import torch

from vqaudio.errors import ModelError


def find_device(name: str) -> torch.device:
    """The device of a name: "auto", "cpu", "cuda", "cuda:1"; raises ModelError without it."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch("cpu|cuda(:[0-9]+)?", name):
        raise ModelError(f"unknown device {name!r}: choose auto, cpu, cuda or cuda:N")
    if name == "cpu":
        return torch.device(name)
    if not torch.cuda.is_available():
        raise ModelError("there is no CUDA device here: choose --device cpu")
    available = torch.cuda.device_count()
    if int(name.partition(":")[2] or 0) >= available:
        raise ModelError(f"there is no device {name}: the last one here is cuda:{available - 1}")
    return torch.device(name)
