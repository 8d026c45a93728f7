"""The losses on decoded sound, and the gradient that they amount to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vqaudio.discriminators import Discriminators, Judgement
from vqaudio.losses import (
    Balancer,
    MultiResolutionStftLoss,
    MultiScaleMelLoss,
    PhaseLoss,
    feature_loss,
    generator_loss,
    waveform_loss,
)
from vqaudio.recipe import LossConfig

ON_SOUND = ("mel", "stft", "phase", "waveform", "adversarial", "features")
"""The losses that a weight of zero leaves out."""


class Judged(NamedTuple):
    """What the discriminators say, one `Judgement` each."""

    real: Sequence[Judgement]
    decoded: Sequence[Judgement]


def judge(discriminators: Discriminators, recorded: Tensor, decoded: Tensor) -> Judged:
    """[B, 1, S] twice, in one batch of 2 B."""
    real, fake = [], []
    for judgement in discriminators(torch.cat([recorded, decoded])):
        first, second = judgement.halves()
        real.append(first)
        fake.append(second)
    return Judged(real, fake)


class Assessment(NamedTuple):
    """How far the decoded sound is from the recorded one."""

    gradient: Tensor
    """[B, 1, S]: of all losses together, with respect to the decoded sound."""
    losses: dict[str, Tensor]
    """Scalars without a graph, each as it is, weights not applied."""
    norms: dict[str, Tensor]
    """Of the gradient of each loss by itself, where they are balanced: <loss>_gradient_norm."""


class Objective(nn.Module):
    """decoded, recorded [B, 1, S] -> `Assessment`.

    `decoded` is a leaf that requires a gradient, cut from the codec's graph: the losses go back to
    the sound and no further, each for itself where they are balanced, and their sum goes through
    the codec in one pass. Nothing is left in the gradients of discriminators.
    """

    def __init__(self, config: LossConfig, sample_rate: int) -> None:
        super().__init__()
        weights = config.model_dump(include=set(ON_SOUND))
        self.weights = {name: weights[name] for name in ON_SOUND if weights[name] > 0}
        self.mel = MultiScaleMelLoss(
            sample_rate, config.mel_windows, compressed=config.mel_compressed
        )
        self.stft = MultiResolutionStftLoss(config.stft_windows)
        self.phase = PhaseLoss(sample_rate, config.phase_windows, below=config.phase_below)
        self.balancer = Balancer(self.weights) if config.balance else None

    def forward(self, decoded: Tensor, recorded: Tensor, judged: Judged | None) -> Assessment:
        assert decoded.is_leaf
        losses = self._losses(decoded, recorded, judged)
        norms: dict[str, Tensor] = {}
        if self.balancer is not None:
            gradient, found = self.balancer(losses, decoded)
            norms = {f"{name}_gradient_norm": norm for name, norm in found.items()}
        else:
            total = torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum()
            (gradient,) = torch.autograd.grad(total, decoded)
        return Assessment(gradient, {name: loss.detach() for name, loss in losses.items()}, norms)

    def _losses(
        self, decoded: Tensor, recorded: Tensor, judged: Judged | None
    ) -> dict[str, Tensor]:
        losses = {}
        if "mel" in self.weights:
            losses["mel"] = self.mel(decoded, recorded)
        if "stft" in self.weights:
            losses["stft"] = self.stft(decoded, recorded)
        if "phase" in self.weights:
            losses["phase"] = self.phase(decoded, recorded)
        if "waveform" in self.weights:
            losses["waveform"] = waveform_loss(decoded, recorded)
        if judged is not None and "adversarial" in self.weights:
            losses["adversarial"] = generator_loss(judged.decoded)
        if judged is not None and "features" in self.weights:
            losses["features"] = feature_loss(judged.real, judged.decoded)
        return losses
