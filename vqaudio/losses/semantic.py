"""Semantic distillation: the first codebook learns what a speech model hears."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqaudio.errors import TrainingError

# Of all models of the wav2vec 2.0 family, at 16 kHz: seven convolutions without padding.
WINDOW = 400
"""Samples that a frame of the teacher is made of."""
HOP = 320
"""Samples from one frame of the teacher to the next."""


class SemanticTeacher(nn.Module):
    """[B, 1, S] -> [B, T, E]: frames of a frozen speech model of torchaudio, float32.

    `bundle` is a name in torchaudio.pipelines, such as HUBERT_BASE or WAVLM_BASE_PLUS, whose
    weights torchaudio fetches once; `sample_rate` (Hz) is the waveform's. The features are those
    after transformer layer `layer`, counted from 1, or the mean over all layers when it is None:
    SpeechTokenizer tries both, Mimi takes the last.

    Always in evaluation mode and without gradients. It is no part of a checkpoint.

    Raises TrainingError: torchaudio does not import, no such bundle or layer, no weights.
    """

    def __init__(self, bundle: str, *, sample_rate: int, layer: int | None = None) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.layer = layer
        torchaudio = _import_torchaudio()
        found: Any = getattr(torchaudio.pipelines, bundle, None)
        if not hasattr(found, "get_model"):
            raise TrainingError(
                f"torchaudio.pipelines has no speech model {bundle!r}: give the name of one, such "
                "as HUBERT_BASE or WAVLM_BASE_PLUS."
            )
        self.model_rate: int = found.sample_rate
        self.resample = torchaudio.functional.resample
        try:
            self.model: Any = found.get_model().requires_grad_(False)
        except (OSError, RuntimeError) as error:  # not reached, or not what was expected
            raise TrainingError(f"the weights of {bundle} cannot be fetched: {error}.") from error
        self.eval()
        try:
            self.num_features = self(torch.zeros(1, 1, HOP), 1).shape[-1]
        except ValueError as error:
            raise TrainingError(f"{bundle} has no layer {layer}: {error}.") from error

    def train(self, mode: bool = True) -> SemanticTeacher:
        """Nothing to train: dropout and layer drop would only blur the targets."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, waveform: Tensor, num_frames: int) -> Tensor:
        """The `num_frames` frames of the codec, evenly spread over the waveform."""
        samples = waveform.float()
        if self.sample_rate != self.model_rate:
            samples = self.resample(samples, self.sample_rate, self.model_rate)
        samples = samples.squeeze(1)
        frames = -(-samples.shape[-1] // HOP)
        # As many samples on both sides of each hop as put its middle in the middle of the window.
        left = (WINDOW - HOP) // 2
        right = (frames - 1) * HOP + WINDOW - left - samples.shape[-1]
        layers, _ = self.model.extract_features(
            F.pad(samples, (left, right)), num_layers=self.layer
        )
        features = layers[-1] if self.layer else torch.stack(layers).mean(dim=0)
        # Slower codecs average what falls into a frame, faster ones read between the lines.
        mode = "area" if num_frames < frames else "linear"
        resized = F.interpolate(features.float().transpose(1, 2), size=num_frames, mode=mode)
        return resized.transpose(1, 2)


class SemanticLoss(nn.Module):
    """[B, T, D], [B, T, E] -> scalar, 0 (same direction in every frame) to 2 (opposite).

    The cosine distance of Mimi (Défossez et al. 2024, arXiv:2410.00037) between the teacher's
    frames and a projection of the latents that the first codebook gives. That of SpeechTokenizer
    (Zhang et al. 2023, arXiv:2308.16692) takes cosines along time, one per feature: a crop's length
    and padding enter it, frames here stand for themselves.

    Train the projection with the codec; nothing needs it afterwards.
    """

    def __init__(self, dim: int, num_features: int) -> None:
        super().__init__()
        self.project = nn.Linear(dim, num_features)

    def forward(self, latents: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask` [B, T] is False on padding."""
        distance = 1 - F.cosine_similarity(self.project(latents).float(), target, dim=-1)
        if mask is None:
            return distance.mean()
        return distance.masked_fill(~mask, 0.0).sum() / mask.sum().clamp(min=1)


def _import_torchaudio() -> Any:
    """Raises TrainingError."""
    try:
        return import_module("torchaudio")
    # Built for another CUDA version than torch, it raises RuntimeError or cannot load a library.
    except (ImportError, OSError, RuntimeError) as error:
        raise TrainingError(
            "semantic distillation needs a torchaudio that fits torch "
            f"{torch.__version__}, and none imports ({error}): install two that are built for the "
            "same CUDA version, such as torch 2.14.1 with torchaudio 2.11.0."
        ) from error
