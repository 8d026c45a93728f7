"""The codec: shapes, bitrates, one item = a batch = chunks with their context."""

from __future__ import annotations

import copy
import itertools
import math

import pytest
import torch

from vqaudio.codec import (
    Codec,
    CodecConfig,
    Context,
    FramesConfig,
    QuantizerConfig,
    WaveformConfig,
)
from vqaudio.layers import FrameLinear, Span, can_pack, freeze

HOP = 24
BACKBONES = {
    "frames": FramesConfig(
        hop_length=HOP,
        window_length=4 * HOP,
        width=12,
        decoder_width=16,
        encoder_blocks=2,
        decoder_blocks=3,
    ),
    "waveform": WaveformConfig(family="waveform", strides=(2, 3, 4), width=2),
}
LEVELS, SIZE, DIM = 3, 32, 6

EACH = pytest.mark.parametrize(
    ("family", "causal"), list(itertools.product(BACKBONES, [False, True]))
)


def make(family: str, causal: bool, codebook: str = "ema") -> Codec:
    """A codec with random weights and codes spread like its latents."""
    torch.manual_seed(0)
    config = CodecConfig(
        sample_rate=2400,
        causal=causal,
        backbone=BACKBONES[family],
        quantizer=QuantizerConfig(
            codebook=codebook,  # type: ignore[arg-type]
            num_codebooks=LEVELS,
            codebook_size=SIZE,
            dim=DIM,
        ),
    )
    codec = Codec(config)
    latents = codec.encoder(torch.randn(4, 1, 100 * HOP)).detach()
    mean, std = latents.mean(dim=(0, 2)), latents.std(dim=(0, 2))
    for level, book in enumerate(codec.quantizer.books):
        centroids = torch.randn(SIZE, DIM) * std / 2**level
        book.place(centroids + mean if level == 0 else centroids)
    return codec.eval()


@EACH
@pytest.mark.parametrize("codebook", ["ema", "gradient"])
def test_a_training_pass(family: str, causal: bool, codebook: str) -> None:
    codec = make(family, causal, codebook).train()
    for samples in 1, HOP - 1, HOP, HOP + 1, 10 * HOP + 5:
        frames = math.ceil(samples / HOP)
        output = codec(0.1 * torch.randn(2, 1, samples))
        assert output.waveform.shape == (2, 1, frames * HOP)
        assert output.codes.shape == (2, LEVELS, frames)
        assert output.commitment.shape == output.codebook_loss.shape == ()
        assert output.restarts.shape == (LEVELS,)
        assert (output.codebook_loss > 0) == (codebook == "gradient")
        codec.zero_grad()
        (output.waveform.square().mean() + output.commitment + output.codebook_loss).backward()
        for name, parameter in codec.named_parameters():
            # A book whose level dropout left out has no share in this step.
            assert parameter.grad is not None or name.startswith("quantizer"), name
            assert parameter.grad is None or parameter.grad.isfinite().all(), name


@EACH
def test_silence_trains_to_finite_numbers(family: str, causal: bool) -> None:
    codec = Codec(make(family, causal).config).train()  # the books start on silence
    for _ in range(2):
        output = codec(torch.zeros(2, 1, 5 * HOP))
        assert output.waveform.isfinite().all()
        codec.zero_grad()
        (output.waveform.square().mean() + output.commitment).backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in codec.parameters())


@EACH
def test_encode_and_decode(family: str, causal: bool) -> None:
    codec = make(family, causal)
    for samples in 1, HOP - 1, HOP, HOP + 1, 7 * HOP + 3:
        frames = math.ceil(samples / HOP)
        waveform = 0.1 * torch.randn(3, 1, samples)
        codes = codec.encode(waveform)
        assert codes.shape == (3, LEVELS, frames)
        assert codes.dtype == torch.int64
        assert int(codes.min()) >= 0
        assert int(codes.max()) < SIZE
        decoded = codec.decode(codes)
        assert decoded.shape == (3, 1, frames * HOP)
        output = codec(waveform)
        assert torch.equal(output.codes, codes)
        torch.testing.assert_close(output.waveform, decoded)


@EACH
def test_fewer_levels_are_a_prefix(family: str, causal: bool) -> None:
    codec = make(family, causal)
    waveform = 0.1 * torch.randn(2, 1, 8 * HOP)
    codes = codec.encode(waveform)
    decoded = []
    for levels in range(1, LEVELS + 1):
        prefix = codec.encode(waveform, num_codebooks=levels)
        assert torch.equal(prefix, codes[:, :levels])
        decoded.append(codec.decode(prefix))
    assert all(x.shape == decoded[0].shape for x in decoded)
    assert not torch.equal(decoded[0], decoded[1])


@EACH
def test_rates(family: str, causal: bool) -> None:
    codec = make(family, causal)
    assert codec.sample_rate == 2400
    assert codec.hop_length == HOP
    assert codec.frame_rate == 100.0
    assert codec.codebook_sizes == (32, 32, 32)
    assert codec.bitrate() == 3 * 5 * 100.0
    assert codec.bitrate(1) == 5 * 100.0


def test_contexts_of_the_default_codec() -> None:
    """Worked out by hand: blocks of kernel 7 at 320 samples, windows of four hops."""
    centred, causal = (Codec(CodecConfig(causal=causal)) for causal in (False, True))
    assert centred.receptive_field == Span(-480 - 4 * 3 * 320, 799 + 4 * 3 * 320)
    assert centred.encoder_context == Context(2 + 4 * 3, 2 + 4 * 3)
    assert centred.decoder_context == Context(2 + 8 * 3, 2 + 8 * 3)
    assert causal.receptive_field == Span(-960 - 4 * 6 * 320, 319)
    assert causal.encoder_context == Context(3 + 4 * 6, 0)
    # Overlapping windows make the decoder wait for three frames more.
    assert causal.decoder_context == Context(8 * 6, 3)
    assert causal.latency == pytest.approx(4 * 0.02)
    assert centred.latency == pytest.approx((320 + 480 + 12 * 320 + 26 * 320) / 16000)


@EACH
def test_a_causal_codec_does_not_look_ahead(family: str, causal: bool) -> None:
    codec = make(family, causal)
    own = HOP - 1
    assert (codec.receptive_field.last == own) is causal
    assert (codec.encoder_context.right == 0) is causal
    if causal:
        assert codec.decoder_context.right == (3 if family == "frames" else 0)
        waveform = torch.randn(1, 1, 20 * HOP)
        changed = waveform.clone()
        changed[..., 12 * HOP :] += 1.0
        assert torch.equal(codec.encode(waveform)[..., :12], codec.encode(changed)[..., :12])


@EACH
def test_a_batch_of_unequal_lengths(family: str, causal: bool) -> None:
    codec = make(family, causal)
    lengths = [8 * HOP, 1, HOP - 1, HOP, HOP + 1, 5 * HOP - 7]
    waveform = torch.randn(len(lengths), 1, 8 * HOP)  # with garbage beyond the ends
    num_samples = torch.tensor(lengths)
    codes = codec.encode(waveform, num_samples)
    num_frames = -(-num_samples // HOP)
    decoded = codec.decode(codes, num_frames)
    for item, samples in enumerate(lengths):
        frames = int(num_frames[item])
        alone = codec.encode(waveform[item : item + 1, :, :samples])
        assert torch.equal(codes[item, :, :frames], alone[0])
        torch.testing.assert_close(
            decoded[item, :, : frames * HOP], codec.decode(alone)[0], rtol=1e-4, atol=1e-5
        )


def chunks(num_frames: int, size: int, context: Context) -> list[tuple[slice, slice]]:
    """For each chunk of frames: what to compute of the whole, and what to keep of that."""
    result = []
    for first in range(0, num_frames, size):
        last = min(first + size, num_frames)
        begin, end = max(first - context.left, 0), min(last + context.right, num_frames)
        result.append((slice(begin, end), slice(first - begin, last - begin)))
    return result


def scaled(frames: slice) -> slice:
    return slice(frames.start * HOP, frames.stop * HOP)


@torch.no_grad()
@EACH
@pytest.mark.parametrize("size", [1, 7, 64])
def test_chunks_with_their_context_are_the_whole(family: str, causal: bool, size: int) -> None:
    codec = make(family, causal)
    frames = 75
    waveform = torch.randn(1, 1, frames * HOP - 5)
    whole = codec.encoder(waveform)
    parts = [
        codec.encoder(waveform[..., scaled(heard)])[..., kept]
        for heard, kept in chunks(frames, size, codec.encoder_context)
    ]
    torch.testing.assert_close(torch.cat(parts, dim=-1), whole, rtol=0, atol=1e-5)

    latents = torch.randn(1, DIM, frames)
    whole = codec.decoder(latents)
    parts = [
        codec.decoder(latents[..., heard])[..., scaled(kept)]
        for heard, kept in chunks(frames, size, codec.decoder_context)
    ]
    torch.testing.assert_close(torch.cat(parts, dim=-1), whole, rtol=0, atol=1e-5)


@torch.no_grad()
@EACH
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_frame_less_of_context_is_too_little(family: str, causal: bool, side: str) -> None:
    codec = make(family, causal)
    for context, module, channels, samples_in, samples_out in (
        (codec.encoder_context, codec.encoder, 1, HOP, 1),
        (codec.decoder_context, codec.decoder, DIM, 1, HOP),
    ):
        frame = context.left + 3
        outermost = frame - context.left if side == "left" else frame + context.right
        x = torch.randn(1, channels, (frame + context.right + 4) * samples_in)
        x[..., outermost * samples_in : (outermost + 1) * samples_in] = math.nan
        depends = module(x)[0].isnan().any(dim=0).view(-1, samples_out).any(dim=1)
        assert depends[frame]
        assert not depends[frame + 1 if side == "left" else frame - 1]


@EACH
def test_padding_changes_nothing_in_training(family: str, causal: bool) -> None:
    codec = make(family, causal).train()
    codec.quantizer.dropout = 0.0
    waveform = torch.randn(2, 1, 12 * HOP)
    lengths = torch.tensor([12 * HOP, 5 * HOP + 1])
    garbage = waveform.clone()
    garbage[1, :, 5 * HOP + 1 :] = 7.0
    other = copy.deepcopy(codec)
    one, two = codec(waveform, lengths), other(garbage, lengths)
    assert (one.codes[1, :, 6:] == -1).all()
    assert torch.equal(one.codes, two.codes)
    torch.testing.assert_close(one.waveform[1, :, : 6 * HOP], two.waveform[1, :, : 6 * HOP])
    torch.testing.assert_close(one.commitment, two.commitment)
    for book, twin in zip(codec.quantizer.books, other.quantizer.books, strict=True):
        torch.testing.assert_close(book.centroids, twin.centroids)


@EACH
def test_a_frozen_codec_is_the_same_codec(family: str, causal: bool) -> None:
    codec = make(family, causal).eval()
    waveform = torch.randn(2, 1, 50 * HOP)
    codes = codec.encode(waveform)
    decoded = codec.decode(codes)
    freeze(codec)
    assert torch.equal(codec.encode(waveform), codes)
    torch.testing.assert_close(codec.decode(codes), decoded)
    if family == "frames" and can_pack(torch.zeros(1)):
        packed = [layer.packed for layer in codec.modules() if isinstance(layer, FrameLinear)]
        packed += codec.encoder.widen.packed
        assert all(one._weight is not None for one in packed)
        codec.train()
        assert all(one._weight is None for one in packed)
