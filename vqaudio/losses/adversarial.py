"""What discriminators minimise, and what the codec minimises through them.

The hinge losses of SoundStream and EnCodec (Zeghidour et al. 2021, arXiv:2107.03312; Défossez et
al. 2022, arXiv:2210.13438) rather than the least squares of HiFi-GAN and DAC: what a discriminator
tells apart by a margin has no gradient, so it spends itself on what is hard, and does not run ahead
of the codec where steps are few. Each discriminator counts the same, however many scores it gives.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vqaudio.discriminators.judgement import Judgement

SMALLEST_FEATURE = 1e-5
"""Mean size of a feature below which its differences are not magnified further."""


def discriminator_loss(real: Sequence[Judgement], fake: Sequence[Judgement]) -> Tensor:
    """Scalar >= 0, 2 when nothing is told apart: real scores should be above 1, fake below -1.

    Not balanced by anything; its own optimizer minimises it. `fake` judges a detached waveform.
    """
    losses = [
        F.relu(1 - a.scores.float()).mean() + F.relu(1 + b.scores.float()).mean()
        for a, b in zip(real, fake, strict=True)
    ]
    return torch.stack(losses).mean()


def generator_loss(fake: Sequence[Judgement]) -> Tensor:
    """Scalar, lower is better and unbounded: minus the mean score of the fakes.

    Not max(0, 1 - score) as in EnCodec's text: where all scores pass 1 that has no gradient at all,
    which a balancer would divide by.
    """
    return -torch.stack([judgement.scores.float().mean() for judgement in fake]).mean()


def feature_loss(real: Sequence[Judgement], fake: Sequence[Judgement]) -> Tensor:
    """Scalar >= 0: mean |real - fake| of each layer's features over mean |real|, mean over layers.

    Feature matching, normalised as in EnCodec (section 3.4), so that no layer counts for more
    because its activations are larger. The gradient is that of the fakes.
    """
    losses = []
    for a, b in zip(real, fake, strict=True):
        for wanted, found in zip(a.features, b.features, strict=True):
            target = wanted.detach().float()
            scale = target.abs().mean().clamp(min=SMALLEST_FEATURE)
            losses.append((found.float() - target).abs().mean() / scale)
    return torch.stack(losses).mean()
