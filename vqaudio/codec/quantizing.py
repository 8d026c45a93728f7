"""The quantizer that a configuration describes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from vqaudio.codec.config import QuantizerConfig
from vqaudio.quantizers import (
    EmaCodebook,
    FsqGrid,
    GradientCodebook,
    ProjectedCodebook,
    ResidualQuantizer,
    own_gradient,
    rotation,
    straight_through,
    unit_length,
)

BRIDGES = {"straight-through": straight_through, "rotation": rotation}


def _ema(config: QuantizerConfig) -> nn.Module:
    return EmaCodebook(
        config.codebook_size, config.dim, decay=config.decay, restart_below=config.restart_below
    )


def _gradient(config: QuantizerConfig) -> nn.Module:
    return GradientCodebook(
        config.codebook_size, config.dim, decay=config.decay, restart_below=config.restart_below
    )


def _cosine(config: QuantizerConfig) -> nn.Module:
    inner = EmaCodebook(
        config.codebook_size,
        config.code_dim,
        decay=config.decay,
        restart_below=config.restart_below,
        unit=True,
    )
    return ProjectedCodebook(config.dim, inner, unit_length, bridge=BRIDGES[config.bridge])


def _fsq(config: QuantizerConfig) -> nn.Module:
    grid = FsqGrid(config.fsq_levels)
    return ProjectedCodebook(config.dim, grid, torch.tanh, bridge=BRIDGES[config.bridge])


CODEBOOKS: dict[str, Callable[[QuantizerConfig], nn.Module]] = {
    "ema": _ema,
    "gradient": _gradient,
    "cosine": _cosine,
    "fsq": _fsq,
}


def make_quantizer(config: QuantizerConfig) -> ResidualQuantizer:
    """Codebooks with projections bridge the gradient themselves, the others once for all levels."""
    projected = config.codebook in ("cosine", "fsq")
    return ResidualQuantizer(
        config.num_codebooks,
        lambda: CODEBOOKS[config.codebook](config),
        dropout=config.dropout,
        bridge=own_gradient if projected else BRIDGES[config.bridge],
    )
