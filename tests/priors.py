"""Small priors, and codes for them."""

from __future__ import annotations

import numpy as np
import torch

from vqaudio.prior import (
    Prior,
    PriorConfig,
    Sequence,
    TokenSet,
)

SIZES = (8, 4, 4)

SMALL = {"width": 32, "layers": 2, "heads": 2, "context_frames": 24, "dropout": 0.0}


def small(pattern: str = "delay", *, seed: int = 0, **more: object) -> Prior:
    torch.manual_seed(seed)
    speakers = ("a", "b") if more.get("condition") == "speaker" else ()
    config = PriorConfig.model_validate({**SMALL, "pattern": pattern, **more})
    return Prior(config, SIZES, speakers=speakers).eval()


def counting(num_frames: int, start: int = 0) -> np.ndarray:
    """Codes that are certain once the first is known."""
    frames = np.arange(start, start + num_frames)
    return np.stack([frames % 8, (frames // 2) % 4, (frames // 4 + 1) % 4]).astype(np.uint16)


def token_set(count: int = 40, num_frames: int = 30) -> TokenSet:
    sequences = [
        Sequence(f"{n}", counting(num_frames, n % 8), f"speaker {n % 20}", f"text {n}")
        for n in range(count)
    ]
    return TokenSet(sequences, "0" * 16, 16000, 320, SIZES)
