"""Discriminators: shapes, odd lengths, autocast, and that each kind learns to tell sounds apart."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from vqaudio.discriminators import (
    BandDiscriminatorConfig,
    DiscriminatorConfig,
    Discriminators,
    PeriodDiscriminatorConfig,
    StftDiscriminatorConfig,
)
from vqaudio.discriminators.conv import Conv2d
from vqaudio.discriminators.spectrum import ComplexSpectrum
from vqaudio.losses import discriminator_loss, feature_loss, generator_loss

STFT = StftDiscriminatorConfig(window_length=128, channels=4)
BAND = BandDiscriminatorConfig(kind="band", window_length=256, channels=4)
PERIOD = PeriodDiscriminatorConfig(kind="period", period=5, channels=(4, 8))
CONFIGS = {
    "stft": STFT,
    "stft as in papers": STFT.model_copy(update={"stride": 1, "dilations": (1, 2)}),
    "stft with fewer frames": STFT.model_copy(update={"overlap": 2}),
    "band": BAND,
    "band as in papers": BAND.model_copy(update={"stride": 1, "num_layers": 5}),
    "band with fewer frames": BAND.model_copy(update={"overlap": 2, "num_layers": 2}),
    "period": PERIOD,
    "period of two": PERIOD.model_copy(update={"period": 2, "channels": (4,)}),
}

each_config = pytest.mark.parametrize("name", CONFIGS)


def make(*names: str) -> Discriminators:
    torch.manual_seed(0)
    return Discriminators([CONFIGS[name] for name in names])


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_an_ensemble_answers_once_per_config_in_their_order() -> None:
    together = make(*CONFIGS)
    waveform = noise(2, 1, 1000)
    for part, judgement in zip(together.parts, together(waveform), strict=True):
        assert torch.equal(judgement.scores, part(waveform).scores)


@pytest.mark.parametrize("num_samples", [1, 2, 4, 5, 6, 127, 128, 129, 1600])
@each_config
def test_every_length_is_judged(name: str, num_samples: int) -> None:
    waveform = noise(2, 1, num_samples).requires_grad_()
    (judgement,) = make(name)(waveform)
    assert judgement.scores.shape[:2] == (2, 1)
    assert all(len(feature) == 2 for feature in judgement.features)
    total = judgement.scores.sum() + sum(feature.square().sum() for feature in judgement.features)
    total.backward()
    assert waveform.grad is not None
    assert waveform.grad.isfinite().all()
    assert waveform.grad.abs().sum() > 0


@each_config
def test_items_are_judged_one_by_one(name: str) -> None:
    discriminators = make(name)
    waveform = noise(3, 1, 700)
    (together,) = discriminators(waveform)
    for i in range(3):
        (alone,) = discriminators(waveform[i : i + 1])
        torch.testing.assert_close(alone.scores[0], together.scores[i], rtol=1e-4, atol=1e-5)


@each_config
def test_silence_has_finite_gradients(name: str) -> None:
    discriminators = make(name)
    waveform = torch.zeros(1, 1, 600, requires_grad=True)
    real, fake = discriminators(noise(1, 1, 600)), discriminators(waveform)
    (discriminator_loss(real, fake) + generator_loss(fake) + feature_loss(real, fake)).backward()
    for tensor in (waveform, *discriminators.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()


def test_the_spectrum_is_scaled_to_white_noise_and_placed_right() -> None:
    spectrum = ComplexSpectrum(64, hop_length=16)
    assert spectrum(noise(2, 1, 100)).shape == (2, 2, 100 // 16 + 1, 33)
    inner = spectrum(noise(4, 1, 16_000))[:, :, 4:-4, 1:-1]
    power = inner.square().sum(dim=1).mean().item()
    assert power == pytest.approx(0.1**2, rel=0.05)
    click = torch.zeros(1, 1, 320)
    click[..., 160] = 1
    loudness = spectrum(click).square().sum(dim=(1, 3))[0]
    assert loudness.argmax().item() == 160 // 16


def test_the_bands_are_the_whole_spectrum() -> None:
    band_discriminator = make("band").parts[0]
    bins = itertools.chain(*(range(129)[band] for band in band_discriminator.bands))
    assert list(bins) == list(range(129))
    shortest = BandDiscriminatorConfig(kind="band", window_length=64, channels=2)
    assert Discriminators([shortest])(noise(1, 1, 100))[0].scores.isfinite().all()


def test_a_period_sees_its_own_samples_only() -> None:
    """A click moves the scores of one column of samples, and of no other."""
    (part,) = make("period").parts
    waveform = noise(1, 1, 500)
    clicked = waveform.clone()
    clicked[..., 5 * 40 + 3] += 1
    moved = (part(clicked).scores - part(waveform).scores).abs().sum(dim=(0, 1, 2))
    assert (moved > 0).tolist() == [False, False, False, True, False]


@each_config
def test_under_autocast_the_spectrum_stays_in_float32(name: str) -> None:
    discriminators = make(name)
    waveform = noise(2, 1, 800).requires_grad_()
    (exact,) = discriminators(waveform)
    with torch.autocast("cpu", torch.bfloat16):
        (judgement,) = discriminators(waveform)
    assert judgement.scores.dtype == torch.bfloat16
    torch.testing.assert_close(judgement.scores.float(), exact.scores, rtol=0.05, atol=0.01)
    generator_loss([judgement]).backward()
    assert waveform.grad is not None
    assert waveform.grad.isfinite().all()


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
def test_a_narrow_input_is_convolved_in_bfloat16_too(width: int, stride: int) -> None:
    torch.manual_seed(0)
    layer = Conv2d(4, 4, (3, 9), stride=(1, stride))
    x = torch.randn(2, 4, 13, width)
    expected = layer(x)
    torch.testing.assert_close(expected, layer.conv(x))
    for _ in range(5):
        junk = [torch.full((size,), 1e36) for size in (260, 1000, 5000, 20000, 65536)]
        del junk  # what memory holds must not matter
        with torch.autocast("cpu", torch.bfloat16):
            found = layer(x)
        torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.05)


@each_config
def test_weights_are_saved_and_loaded(name: str) -> None:
    first, second = make(name), make(name)
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.normal_()
    waveform = noise(1, 1, 500)
    assert not torch.equal(first(waveform)[0].scores, second(waveform)[0].scores)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(waveform)[0].scores, second(waveform)[0].scores)


def sounds(seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches [8, 1, 800]: a tone at a random phase, and white noise of the same power."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        phase = 2 * torch.pi * torch.rand(8, 1, 1, generator=generator)
        tone = (2 * torch.pi * 0.05 * torch.arange(800) + phase).sin()
        yield tone, 0.5**0.5 * torch.randn(8, 1, 800, generator=generator)


@each_config
def test_it_learns_to_tell_sounds_apart(name: str) -> None:
    discriminators = make(name)
    optimizer = torch.optim.Adam(discriminators.parameters(), lr=1e-2)
    for real, fake in itertools.islice(sounds(0), 40):
        loss = discriminator_loss(discriminators(real), discriminators(fake))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        real, fake = next(sounds(1))
        (a,), (b,) = discriminators(real), discriminators(fake)
    tones, noises = (judgement.scores.mean(dim=(1, 2, 3)) for judgement in (a, b))
    assert tones.min() > noises.max(), "some noise passes for a tone"
    assert discriminator_loss([a], [b]) < 1.6  # 2 when nothing is told apart


def test_kinds_are_told_by_name_and_nonsense_is_refused() -> None:
    adapter: TypeAdapter[DiscriminatorConfig] = TypeAdapter(DiscriminatorConfig)
    assert adapter.validate_python({"kind": "stft", "dilations": [1, 3]}).dilations == (1, 3)
    assert adapter.validate_python({"kind": "period", "period": 3}).kind == "period"
    assert adapter.validate_python({"kind": "band", "stride": 2}).stride == 2
    for nonsense in (
        {"kind": "wave"},
        {"window_length": 1024},
        {"kind": "period"},
        {"kind": "period", "period": 1},
        {"kind": "period", "period": 2, "channels": []},
        {"kind": "stft", "window": 1024},
        {"kind": "stft", "overlap": 1},
        {"kind": "stft", "stride": 9},
        {"kind": "band", "window_length": 63},
        {"kind": "band", "num_layers": 1},
    ):
        with pytest.raises(ValidationError):
            adapter.validate_python(nonsense)
