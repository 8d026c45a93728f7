"""Layers: lengths, receptive fields, batches, spectra; and the two backbones made of them."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from vqaudio.codec import FramesConfig, WaveformConfig
from vqaudio.codec.frames import FramesDecoder, FramesEncoder
from vqaudio.codec.waveform import (
    DownStage,
    ResidualUnit,
    UpStage,
    WaveformDecoder,
    WaveformEncoder,
)
from vqaudio.layers import (
    Conv1d,
    ConvNeXtBlock,
    ConvTranspose1d,
    Flow,
    FrameConv1d,
    FrameLinear,
    FrameNorm,
    Span,
    SpectralAnalysis,
    SpectralSynthesis,
    can_pack,
    freeze,
)

CAUSAL = pytest.mark.parametrize("causal", [False, True])


class Case(NamedTuple):
    """A layer from steps to steps and how to feed it."""

    make: Callable[[bool], nn.Module]
    channels: int
    down: int = 1
    up: int = 1
    lookahead: int = 0
    """Input steps after its own that a causal output step depends on."""

    def steps(self, steps: int) -> int:
        """How many steps come out."""
        return -(-steps // self.down) * self.up


FRAMES = FramesConfig(hop_length=6, window_length=24, width=8, encoder_blocks=2, decoder_blocks=2)
WAVEFORM = WaveformConfig(family="waveform", strides=(2, 3), width=2)


class StepsLast(nn.Module):
    """A layer whose channels are last, [B, T, C], as one whose steps are."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, lengths: Any = None) -> Tensor:
        if isinstance(self.layer, SpectralAnalysis):
            return torch.cat(self.layer(x, lengths), dim=-1).transpose(1, 2)
        y = self.layer(x.transpose(1, 2), lengths)
        return y if isinstance(self.layer, SpectralSynthesis) else y.transpose(1, 2)

    def needs(self, span: Span) -> Span:
        return self.layer.needs(span)


def frame_conv(kernel_size: int, groups: int) -> Callable[[bool], nn.Module]:
    return lambda causal: StepsLast(FrameConv1d(4, 4, kernel_size, groups=groups, causal=causal))


def conv(kernel_size: int, **options: Any) -> Callable[[bool], nn.Module]:
    return lambda causal: Conv1d(2, 3, kernel_size, causal=causal, **options)


def transposed(stride: int) -> Callable[[bool], nn.Module]:
    return lambda causal: ConvTranspose1d(2, 3, stride=stride, causal=causal)


def analysis(window: int, hop: int) -> Callable[[bool], nn.Module]:
    return lambda causal: StepsLast(
        SpectralAnalysis(window_length=window, hop_length=hop, causal=causal)
    )


def synthesis(window: int, hop: int) -> Callable[[bool], nn.Module]:
    return lambda causal: StepsLast(
        SpectralSynthesis(window_length=window, hop_length=hop, causal=causal)
    )


CONVS = {
    f"conv k{kernel} s{stride} d{dilation}": Case(
        conv(kernel, stride=stride, dilation=dilation), 2, down=stride
    )
    for stride, kernels in {
        1: (1, 2, 3, 7),
        2: (2, 3, 4),
        4: (4, 7, 8),
        5: (5, 10),
        8: (9, 16),
    }.items()
    for kernel, dilation in itertools.product(kernels, (1, 3))
}
LAYERS = {
    **CONVS,
    **{f"transposed {s}": Case(transposed(s), 2, up=s) for s in (1, 2, 3, 4, 5, 8)},
    "analysis 16/4": Case(analysis(16, 4), 1, down=4),
    "analysis 15/4": Case(analysis(15, 4), 1, down=4),
    "analysis 5/5": Case(analysis(5, 5), 1, down=5),
    "synthesis 16/4": Case(synthesis(16, 4), 18, up=4, lookahead=3),
    "synthesis 15/5": Case(synthesis(15, 5), 16, up=5, lookahead=2),
    "synthesis 6/3": Case(synthesis(6, 3), 8, up=3, lookahead=1),
    "frame conv 7": Case(frame_conv(7, 1), 4),
    "frame conv 4, each channel": Case(frame_conv(4, 4), 4),
    "ConvNeXt": Case(lambda causal: StepsLast(ConvNeXtBlock(2, kernel_size=5, causal=causal)), 2),
    "unit": Case(lambda causal: ResidualUnit(2, dilation=3, causal=causal), 2),
    "down": Case(lambda causal: DownStage(2, stride=3, causal=causal), 2, down=3),
    "up": Case(lambda causal: UpStage(2, stride=3, causal=causal), 4, up=3),
}
DIRECTIONS = FRAMES.model_copy(update={"phase": "direction"})
BACKBONES = {
    "frames encoder": Case(lambda causal: FramesEncoder(FRAMES, dim=4, causal=causal), 1, down=6),
    "frames decoder": Case(
        lambda causal: FramesDecoder(FRAMES, dim=4, causal=causal), 4, up=6, lookahead=3
    ),
    "frames decoder of directions": Case(
        lambda causal: FramesDecoder(DIRECTIONS, dim=4, causal=causal), 4, up=6, lookahead=3
    ),
    "waveform encoder": Case(
        lambda causal: WaveformEncoder(WAVEFORM, dim=4, causal=causal), 1, down=6
    ),
    "waveform decoder": Case(
        lambda causal: WaveformDecoder(WAVEFORM, dim=4, causal=causal), 4, up=6
    ),
}
ALL = {**LAYERS, **BACKBONES}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


# Lengths


@CAUSAL
@pytest.mark.parametrize("name", ALL)
def test_the_number_of_steps(name: str, causal: bool) -> None:
    case = ALL[name]
    layer = case.make(causal)
    for steps in range(1, 41):
        y = layer(torch.randn(1, case.channels, steps))
        assert y.shape[-1] == case.steps(steps)


def test_a_kernel_that_would_skip_input_is_refused() -> None:
    with pytest.raises(AssertionError, match="skips input"):
        Conv1d(1, 1, 3, stride=4)
    with pytest.raises(AssertionError, match="skips samples"):
        SpectralAnalysis(window_length=4, hop_length=5)
    with pytest.raises(AssertionError, match="whole number of hops"):
        SpectralSynthesis(window_length=9, hop_length=4)


# Receptive fields


@torch.no_grad()
def dependencies(layer: nn.Module, x: Tensor) -> Tensor:
    """[T_in, T_out] bool: which output steps change with which input steps.

    One copy of x [1, C, T] per input step, with no number in that step: what is computed from
    it, whatever its weight, is no number either.
    """
    steps = x.shape[-1]
    copies = x.repeat(steps, 1, 1)
    copies[range(steps), :, range(steps)] = math.nan
    return layer(copies).isnan().any(dim=1)


@CAUSAL
@pytest.mark.parametrize("name", ALL)
def test_needs_is_what_an_output_depends_on(name: str, causal: bool) -> None:
    case = ALL[name]
    layer = case.make(causal)
    own = layer.needs(Span(0, case.up - 1))
    periods = 3 + (own.last - own.first) // case.down
    steps = periods * case.down + 1  # one more than whole
    depends = dependencies(layer, torch.randn(1, case.channels, steps))
    exact = 0
    for output in range(case.steps(steps)):
        needed = layer.needs(Span(output, output))
        found = depends[:, output].nonzero().flatten()
        assert int(found.min()) >= needed.first
        assert int(found.max()) <= needed.last
        if needed.first >= 0 and needed.last < steps:
            exact += 1
            assert (int(found.min()), int(found.max())) == needed
        # The needs of a run of steps are those of its ends.
        assert layer.needs(Span(0, output)) == (layer.needs(Span(0, 0)).first, needed.last)
    assert exact > 0


@CAUSAL
@pytest.mark.parametrize("name", ALL)
def test_causal_layers_do_not_look_ahead(name: str, causal: bool) -> None:
    case = ALL[name]
    layer = case.make(causal)
    steps = 12 * case.down
    x = torch.randn(1, case.channels, steps)
    changed = x.clone()
    now = 7  # the last period that is heard
    changed[..., (now + 1 + case.lookahead) * case.down :] += 1.0
    unchanged = slice(0, (now + 1) * case.up)
    same = torch.equal(layer(x)[..., unchanged], layer(changed)[..., unchanged])
    looks_ahead = layer.needs(Span(0, case.up - 1)).last >= case.down * (1 + case.lookahead)
    assert same is not looks_ahead
    if causal:
        assert same


# Batches


@torch.no_grad()
@CAUSAL
@pytest.mark.parametrize("name", ALL)
def test_an_item_is_the_same_alone_and_among_longer_ones(name: str, causal: bool) -> None:
    case = ALL[name]
    layer = case.make(causal)
    lengths = torch.tensor([29, 1, case.down, case.down + 1, 13])
    x = torch.randn(5, case.channels, 29)
    beyond = torch.arange(29) >= lengths[:, None]
    x = torch.where(beyond[:, None], 1e3 * torch.randn_like(x), x)  # garbage
    together = layer(x, lengths)
    for item, length in enumerate(lengths.tolist()):
        alone = layer(x[item : item + 1, :, :length])
        own = together[item : item + 1, :, : case.steps(length)]
        torch.testing.assert_close(own, alone, rtol=1e-4, atol=1e-5)


# Parts


@torch.no_grad()
@CAUSAL
@pytest.mark.parametrize("name", ALL)
def test_in_parts_it_is_what_the_whole_gives(name: str, causal: bool) -> None:
    """Two sequences, the second of which begins later and ends earlier; what lies outside is
    garbage, and must not be heard."""
    case = ALL[name]
    layer = case.make(causal)
    lengths, offsets = [29, 13], [0, 2 * case.down]
    sounds = [torch.randn(1, case.channels, length) for length in lengths]
    inputs = 1e3 * torch.randn(2, case.channels, 150 * case.down)
    for row, sound, offset in zip(inputs, sounds, offsets, strict=True):
        row[:, offset : offset + sound.shape[-1]] = sound[0]
    states: list[Tensor] = []
    outputs = []
    position = 0
    for periods in (1, 3, 2, 10, 4, 130):
        x = inputs[..., position : position + periods * case.down]
        start = position - torch.tensor(offsets)
        flow = Flow(states, start=start, stop=torch.tensor(lengths))
        outputs.append(layer(x, flow))
        states = flow.left_behind
        position += x.shape[-1]
    together = torch.cat(outputs, dim=-1)
    for row, sound, offset in zip(together, sounds, offsets, strict=True):
        first = offset // case.down * case.up + flow.lag
        found = row[:, first : first + case.steps(sound.shape[-1])]
        torch.testing.assert_close(found, layer(sound)[0], rtol=1e-4, atol=1e-5)


# Spectra


def analyse_slowly(samples: Tensor, window: int, hop: int, start: int) -> Tensor:
    """[S] -> [F, T] complex128 by the sum that defines it; frame 0 starts at `start`."""
    n = torch.arange(window)
    weights = torch.sin(math.pi * (n + 0.5) / window) ** 2
    frames = []
    for frame in range(math.ceil(len(samples) / hop)):
        places = (start + frame * hop + n).tolist()
        inside = [float(samples[s]) if 0 <= s < len(samples) else 0.0 for s in places]
        piece = 2 * torch.tensor(inside, dtype=torch.float64) * weights / weights.sum()
        turns = torch.outer(torch.arange(window // 2 + 1), n) / window
        frames.append((piece * torch.exp(-2j * math.pi * turns.to(torch.complex128))).sum(dim=1))
    return torch.stack(frames, dim=1)


@CAUSAL
@pytest.mark.parametrize(("window", "hop"), [(16, 4), (15, 4), (12, 12)])
def test_analysis_by_its_definition(window: int, hop: int, causal: bool) -> None:
    layer = SpectralAnalysis(window_length=window, hop_length=hop, causal=causal)
    assert layer.num_bins == window // 2 + 1
    samples = torch.randn(43)
    start = hop - window if causal else -((window - hop) // 2)
    spectrum = analyse_slowly(samples, window, hop, start)
    magnitude = spectrum.abs() + 1e-5
    expected = [
        (magnitude.log() + 6) / 3,
        spectrum.real / magnitude**0.7,
        spectrum.imag / magnitude**0.7,
    ]
    for found, wanted in zip(layer(samples[None, None]), expected, strict=True):
        torch.testing.assert_close(found[0].T, wanted.float(), rtol=1e-4, atol=1e-4)


@CAUSAL
@pytest.mark.parametrize("frequency", [2, 5, 10])
def test_a_sine_of_full_scale_has_magnitude_one(frequency: int, causal: bool) -> None:
    layer = SpectralAnalysis(window_length=32, hop_length=8, causal=causal)
    n = torch.arange(320, dtype=torch.float64)
    x = torch.sin(2 * math.pi * frequency * n / 32 + 0.3).float()
    level, real, imaginary = (part[0, 4:-4].T for part in layer(x[None, None]))
    torch.testing.assert_close(level[frequency], torch.full((32,), 2.0), rtol=0, atol=1e-4)
    power = (real**2 + imaginary**2)[frequency]
    torch.testing.assert_close(power, torch.ones(32), rtol=0, atol=1e-3)
    assert (level.argmax(dim=0) == frequency).all()
    silence = layer(torch.zeros(1, 1, 320))
    torch.testing.assert_close(silence.level, torch.full((1, 40, 17), (math.log(1e-5) + 6) / 3))
    assert not silence.real.any()
    assert not silence.imaginary.any()


def synthesise_slowly(level: Tensor, phase: Tensor, window: int, hop: int, start: int) -> Tensor:
    """[F, T] twice -> [T * hop] float64: sums of cosines, added sample by sample."""
    bins, frames = level.shape
    total = torch.zeros(frames * hop, dtype=torch.float64)
    weight = torch.zeros_like(total)
    for frame, n in itertools.product(range(frames), range(window)):
        sample = start + frame * hop + n
        if not 0 <= sample < len(total):
            continue
        turns = 2 * math.pi * torch.arange(bins) * n / window
        cosines = level[:, frame].double().exp() * torch.cos(turns + phase[:, frame].double())
        ends = [0] if window % 2 else [0, -1]  # bins without a mirror image count half
        cosines[ends] /= 2
        hann = math.sin(math.pi * (n + 0.5) / window) ** 2
        total[sample] += hann * cosines.sum()
        weight[sample] += hann
    return total / weight


@CAUSAL
@pytest.mark.parametrize(("window", "hop"), [(16, 4), (15, 5), (8, 4), (6, 6)])
def test_synthesis_by_its_definition(window: int, hop: int, causal: bool) -> None:
    layer = SpectralSynthesis(window_length=window, hop_length=hop, causal=causal)
    bins = window // 2 + 1
    assert layer.num_features == 2 * bins
    level, phase = torch.randn(bins, 7), 3 * torch.randn(bins, 7)
    start = hop - window if causal else -((window - hop) // 2)
    found = layer(torch.cat([level, phase]).T[None])[0, 0]
    expected = synthesise_slowly(level, phase, window, hop, start)
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-4)


@CAUSAL
def test_a_direction_is_an_angle_whatever_its_length(causal: bool) -> None:
    sizes = {"window_length": 16, "hop_length": 4}
    angles = SpectralSynthesis(**sizes, causal=causal)
    directions = SpectralSynthesis(**sizes, phase="direction", causal=causal)
    level, phase = torch.randn(2, 2, 7, 9)
    length = torch.rand(2, 7, 9) + 0.1
    parts = [level, length * phase.cos(), length * phase.sin()]
    assert directions.num_features == 3 * 9
    torch.testing.assert_close(
        directions(torch.cat(parts, dim=-1)),
        angles(torch.cat([level, phase], dim=-1)),
        rtol=1e-3,
        atol=1e-3,
    )
    nowhere = torch.cat([level, 0 * phase, 0 * phase], dim=-1).requires_grad_()
    silence = directions(nowhere)
    assert not silence.any()
    silence.sum().backward()
    assert nowhere.grad is not None
    assert nowhere.grad.isfinite().all()


@CAUSAL
def test_a_sine_is_synthesised_up_to_both_ends(causal: bool) -> None:
    layer = SpectralSynthesis(window_length=32, hop_length=8, causal=causal)
    frequency, frames = 5, 6
    starts = layer.offset + 8 * torch.arange(frames)
    level = torch.full((17, frames), -40.0)
    level[frequency] = 0.0
    phase = (2 * math.pi * frequency * starts / 32).expand(17, frames)
    lengths = torch.tensor([6, 2, 1])
    batch = torch.cat([level, phase]).T.expand(3, -1, -1)
    cosine = torch.cos(2 * math.pi * frequency * torch.arange(48) / 32)
    for found, length in zip(layer(batch, lengths)[:, 0], lengths.tolist(), strict=True):
        torch.testing.assert_close(found[: 8 * length], cosine[: 8 * length], rtol=0, atol=1e-4)
    # An untrained network may ask for anything: 40 dB over full scale is what it gets.
    assert layer(torch.full((1, 3, 34), 1e4)).abs().max() < 100.0 * 17 + 1


def test_frame_norm_knows_one_frame_at_a_time() -> None:
    norm = FrameNorm()
    x = torch.randn(2, 9, 16) * torch.logspace(-1, 3, 9)[:, None]
    y = norm(x)
    torch.testing.assert_close(y.square().mean(dim=-1), torch.ones(2, 9), rtol=1e-3, atol=0)
    for frame in range(9):
        assert torch.equal(norm(x[:, frame : frame + 1])[:, 0], y[:, frame])
    assert not norm(torch.zeros(1, 1, 16)).any()
    half = norm(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), y, rtol=0.02, atol=0.02)


# Silence


@CAUSAL
@pytest.mark.parametrize("name", ["analysis 16/4", "ConvNeXt", *BACKBONES])
def test_gradients_are_finite_on_digital_silence(name: str, causal: bool) -> None:
    case = ALL[name]
    layer = case.make(causal)
    for steps in 1, 30:
        x = torch.zeros(1, case.channels, steps, requires_grad=True)
        y = layer(x)
        assert y.isfinite().all()
        y.square().sum().backward()
        assert x.grad is not None
        assert x.grad.isfinite().all()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize(("channels", "out"), [(256, 768), (768, 256), (641, 256), (3, 2)])
def test_a_frame_is_the_same_however_few_there_are(channels: int, out: int) -> None:
    torch.manual_seed(0)
    layer, frames = FrameLinear(channels, out), torch.randn(2, 16, channels)
    together = torch.stack([layer(one) for one in frames])
    for count in range(17):
        for item in range(2):
            assert torch.equal(layer(frames[item, :count]), together[item, :count])
    torch.testing.assert_close(
        layer(frames), nn.functional.linear(frames, layer.weight, layer.bias)
    )
    x = torch.randn(1, 3, channels, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad[0, 0], layer.weight.sum(dim=0))


@pytest.mark.parametrize(("channels", "out"), [(256, 768), (768, 256), (1152, 384), (641, 256)])
@pytest.mark.parametrize("gelu", [False, True])
def test_a_frozen_layer_gives_the_same_however_few_frames_there_are(
    channels: int, out: int, gelu: bool
) -> None:
    torch.manual_seed(0)
    layer, frames = FrameLinear(channels, out).eval(), torch.randn(1, 1030, channels)
    with torch.inference_mode():
        before = layer(frames, gelu=gelu)
        plain = layer(frames)
        torch.testing.assert_close(before, nn.functional.gelu(plain) if gelu else plain)
        layer.freeze()
        together = layer(frames, gelu=gelu)
        torch.testing.assert_close(together, before, atol=1e-5, rtol=1e-5)
        for count in (0, 1, 2, 3, 15, 16, 17, 100, 512, 1000):
            assert torch.equal(layer(frames[:, :count], gelu=gelu), together[:, :count])


packs = pytest.mark.skipif(
    not can_pack(torch.zeros(1)), reason="nothing is packed on this processor"
)


def frozen_layer() -> tuple[FrameLinear, Tensor]:
    layer, x = FrameLinear(32, 8).eval(), torch.randn(20, 32)
    freeze(layer)
    with torch.no_grad():
        assert layer.packed.serves(x, layer.weight)
    return layer, x


@packs
@torch.no_grad()
def test_weights_that_have_changed_are_not_those_that_were_packed() -> None:
    layer, x = frozen_layer()
    assert not copy.deepcopy(layer).packed.serves(x, layer.weight)
    assert not pickle.loads(pickle.dumps(layer)).packed.serves(x, layer.weight)
    layer.load_state_dict({"weight": torch.zeros(8, 32), "bias": torch.ones(8)})
    assert (layer(x) == 1).all()
    layer, x = frozen_layer()
    assert not layer.train().eval().packed.serves(x, layer.weight)
    layer, x = frozen_layer()
    assert layer.double()(x.double()).dtype == torch.float64


@packs
def test_a_frozen_layer_is_like_any_other_where_nothing_packed_serves() -> None:
    layer, x = frozen_layer()
    x.requires_grad_()
    layer(x).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad[0], layer.weight.sum(dim=0))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    with torch.no_grad(), pytest.raises(RuntimeError, match="31"):
        layer(x[:, :31])
    with pytest.raises(AssertionError, match="what learns does not stay"):
        freeze(layer.train())


@pytest.mark.parametrize(("channels", "out", "groups"), [(256, 256, 256), (64, 384, 1), (8, 8, 8)])
def test_zeros_at_the_ends_need_not_be_there(channels: int, out: int, groups: int) -> None:
    """Alone, a centred convolution pads by itself; with lengths the zeros are written."""
    layer = FrameConv1d(channels, out, 7, groups=groups)
    for steps in (1, 2, 3, 30, 500):
        x = torch.randn(1, steps, channels)
        assert torch.equal(layer(x), layer(x, torch.tensor([steps])))


@pytest.mark.parametrize("kernel_size", [1, 3, 7])
def test_a_centred_kernel_that_looks_back_hears_the_same_without_what_comes(
    kernel_size: int,
) -> None:
    centred = FrameConv1d(4, 4, kernel_size, groups=4)
    causal = FrameConv1d(4, 4, kernel_size, groups=4, causal=True)
    causal.load_state_dict(centred.state_dict())
    causal.look_back()
    frames = torch.randn(2, 12, 4)
    for frame in range(frames.shape[1]):
        past = frames.clone()
        past[:, frame + 1 :] = 0
        torch.testing.assert_close(causal(frames)[:, frame], centred(past)[:, frame])
