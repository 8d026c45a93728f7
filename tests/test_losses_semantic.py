"""Semantic distillation, with small models of torchaudio's own class and random weights."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch
from loss_checks import descend
from torch import Tensor

from vqaudio.errors import TrainingError
from vqaudio.losses import SemanticLoss, SemanticTeacher


def noise(*shape: int) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("num_samples", [1, 319, 320, 321, 8000])
@pytest.mark.parametrize("hop_length", [160, 320, 640])
def test_the_teacher_has_the_codecs_frames(
    torchaudio: ModuleType, num_samples: int, hop_length: int
) -> None:
    teacher = SemanticTeacher("TINY", sample_rate=16_000)
    assert teacher.num_features == 16
    frames = -(-num_samples // hop_length)
    features = teacher(noise(2, 1, num_samples), frames)
    assert features.shape == (2, frames, 16)
    assert features.isfinite().all()


def test_the_frames_are_the_models_own_where_the_rates_agree(torchaudio: ModuleType) -> None:
    teacher = SemanticTeacher("TINY", sample_rate=16_000, layer=2)
    waveform = noise(2, 1, 3200)
    padded = torch.nn.functional.pad(waveform, (40, 40)).squeeze(1)
    layers, _ = teacher.model.extract_features(padded)
    torch.testing.assert_close(teacher(waveform, 10), layers[1])
    average = SemanticTeacher("TINY", sample_rate=16_000)
    torch.testing.assert_close(average(waveform, 10), torch.stack(layers).mean(dim=0))
    halves = teacher(waveform, 5)
    torch.testing.assert_close(halves[:, 0], layers[1][:, :2].mean(dim=1))


def test_the_teacher_is_frozen_and_never_drops_anything(torchaudio: ModuleType) -> None:
    teacher = SemanticTeacher("TINY", sample_rate=16_000).train()
    waveform = noise(1, 1, 1600).requires_grad_()
    features = teacher(waveform, 5)
    assert torch.equal(features, teacher(waveform, 5))
    assert not features.requires_grad
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_another_sample_rate_is_resampled(torchaudio: ModuleType) -> None:
    """A tone is the same tone at either rate."""
    features = []
    for sample_rate in (16_000, 24_000):
        time = torch.arange(sample_rate // 5) / sample_rate
        tone = (2 * torch.pi * 440 * time).sin()[None, None]
        features.append(SemanticTeacher("TINY", sample_rate=sample_rate)(tone, 10)[0, 2:-2])
    torch.testing.assert_close(features[0], features[1], atol=0.02, rtol=0.05)


def test_what_torchaudio_does_not_have_is_refused(
    torchaudio: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TrainingError, match="no speech model 'HUBERT'"):
        SemanticTeacher("HUBERT", sample_rate=16_000)
    with pytest.raises(TrainingError, match="TINY has no layer 4"):
        SemanticTeacher("TINY", sample_rate=16_000, layer=4)

    def fail() -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torchaudio.pipelines.TINY, "get_model", fail)
    with pytest.raises(TrainingError, match=r"weights of TINY .* no route to host"):
        SemanticTeacher("TINY", sample_rate=16_000)


def test_a_missing_torchaudio_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchaudio", None)
    with pytest.raises(TrainingError, match="needs a torchaudio that fits torch"):
        SemanticTeacher("HUBERT_BASE", sample_rate=16_000)


def test_the_loss_is_a_cosine_distance() -> None:
    loss = SemanticLoss(4, 4)
    with torch.no_grad():
        loss.project.weight.copy_(torch.eye(4))
        loss.project.bias.zero_()
    latents = noise(2, 5, 4)
    assert loss(latents, 7 * latents).item() == pytest.approx(0, abs=1e-6)
    assert loss(latents, -latents).item() == pytest.approx(2)
    turned = torch.stack([-latents[..., 1], latents[..., 0]], dim=-1)
    assert loss(latents[..., :2] @ torch.eye(2, 4), turned @ torch.eye(2, 4)).item() == (
        pytest.approx(1)
    )


def test_padding_has_no_say() -> None:
    loss = SemanticLoss(4, 6)
    latents, target = noise(2, 5, 4).requires_grad_(), noise(2, 5, 6)
    mask = torch.arange(5) < torch.tensor([[5], [2]])
    masked = loss(latents, target, mask)
    expected = torch.cat([latents[0], latents[1, :2]]), torch.cat([target[0], target[1, :2]])
    torch.testing.assert_close(masked, loss(*expected))
    masked.backward()
    assert latents.grad is not None
    assert (latents.grad.abs().sum(dim=-1) > 0).equal(mask)
    assert loss(latents, target, torch.zeros_like(mask)).item() == 0


def test_latents_learn_from_it() -> None:
    loss = SemanticLoss(4, 6)
    latents, target = noise(2, 5, 4), noise(2, 5, 6)
    assert descend(loss, latents, target, steps=30, learning_rate=0.05) < 0.5
    with torch.autocast("cpu", torch.bfloat16):
        assert loss(latents, target).dtype == torch.float32
