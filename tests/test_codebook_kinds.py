"""Codes in a few dimensions, on a grid, and how the gradient passes them."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vqaudio.checkpoint import load_model, save_model
from vqaudio.codec import Codec, CodecConfig
from vqaudio.codec.config import QuantizerConfig
from vqaudio.codec.quantizing import CODEBOOKS, make_quantizer
from vqaudio.quantizers import (
    EmaCodebook,
    FsqGrid,
    ProjectedCodebook,
    count_codes,
    rotation,
    straight_through,
    unit_length,
)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def small(kind: str, **options: object) -> QuantizerConfig:
    size = (
        {"codebook_size": 60, "fsq_levels": (5, 4, 3)} if kind == "fsq" else {"codebook_size": 32}
    )
    values = {"codebook": kind, "num_codebooks": 3, "dim": 16, "dropout": 0.0, "code_dim": 4}
    return QuantizerConfig.model_validate({**values, **size, **options})


ALL = pytest.mark.parametrize("kind", CODEBOOKS)


# Bridges


def rotate_by_hand(x: Tensor, quantized: Tensor, upstream: Tensor) -> Tensor:
    """[D] each: the transpose of the scaled rotation, built as a matrix in float64."""
    e, q = F.normalize(x, dim=0), F.normalize(quantized, dim=0)
    r = F.normalize(e + q, dim=0)
    turn = torch.eye(len(x), dtype=x.dtype) - 2 * torch.outer(r, r) + 2 * torch.outer(q, e)
    return (quantized.norm() / x.norm()) * turn.T @ upstream


def test_rotation_turns_the_gradient_as_the_vector_was_turned() -> None:
    x = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    quantized, upstream = torch.randn(2, 5, 7, dtype=torch.float64)
    bridged = rotation(x, quantized)
    assert torch.equal(bridged, quantized) or (bridged - quantized).abs().max() < 1e-14
    bridged.backward(upstream)
    for row in range(5):
        expected = rotate_by_hand(x[row].detach(), quantized[row], upstream[row])
        torch.testing.assert_close(x.grad[row], expected)
    # Angles are kept: the gradient stands to x as the upstream one stands to the code.
    torch.testing.assert_close(
        F.cosine_similarity(x.grad, x), F.cosine_similarity(upstream, quantized)
    )


def test_straight_through_hands_the_gradient_on() -> None:
    x = torch.randn(5, 7, requires_grad=True)
    quantized, upstream = torch.randn(2, 5, 7)
    bridged = straight_through(x, quantized)
    torch.testing.assert_close(bridged, quantized)
    bridged.backward(upstream)
    assert torch.equal(x.grad, upstream)


@pytest.mark.parametrize("x", [torch.zeros(3), -torch.ones(3)])
def test_rotation_of_nothing_and_of_the_opposite_is_finite(x: Tensor) -> None:
    x = x.clone().requires_grad_()
    bridged = rotation(x, torch.ones(3))
    bridged.sum().backward()
    torch.testing.assert_close(bridged, torch.ones(3))
    assert 0 < x.grad.abs().max() <= 3
    nothing = rotation(torch.ones(3, requires_grad=True), torch.zeros(3))
    assert torch.equal(nothing, torch.zeros(3))


# The grid


def test_the_grid_is_every_combination_of_levels() -> None:
    grid = FsqGrid((3, 2, 5))
    values = [torch.linspace(-1, 1, size).tolist() for size in (3, 2, 5)]
    assert grid.decode(torch.arange(30)).tolist() == [list(v) for v in itertools.product(*values)]
    assert torch.equal(grid.encode(grid.decode(torch.arange(30))), torch.arange(30))


def test_rounding_finds_the_nearest_point_of_the_grid() -> None:
    grid = FsqGrid((8, 5, 5, 5))
    x = torch.rand(500, 4) * 2.2 - 1.1
    distances = torch.cdist(x.double(), grid.grid.double())
    assert torch.equal(grid.encode(x), distances.argmin(dim=1))
    assert grid.encode(torch.full((2, 4), math.nan)).shape == (2,)


# Few dimensions


def test_cosine_codes_are_chosen_by_angle() -> None:
    inner = EmaCodebook(12, 4, unit=True)
    book = ProjectedCodebook(16, inner, unit_length)
    x = torch.randn(100, 16)
    book(x)
    torch.testing.assert_close(inner.centroids.norm(dim=1), torch.ones(12))
    book.eval()
    small_vectors = book.into(x)
    similarity = F.cosine_similarity(small_vectors[:, None], inner.centroids[None], dim=-1)
    assert torch.equal(book.encode(x), similarity.argmax(dim=1))
    # The length of what is projected says nothing.
    with torch.no_grad():
        book.into.bias.zero_()
    assert torch.equal(book.encode(x), book.encode(3 * x))


@pytest.mark.parametrize("kind", ["cosine", "fsq"])
@pytest.mark.parametrize("bridge", ["straight-through", "rotation"])
def test_projections_learn_and_the_input_gets_a_gradient(kind: str, bridge: str) -> None:
    quantizer = make_quantizer(small(kind, bridge=bridge))
    quantizer.stagger = 0
    x = torch.randn(4, 50, 16, requires_grad=True)
    output = quantizer(x)
    (output.latents - x.detach()).square().mean().backward()
    assert x.grad.abs().sum() > 0
    assert all(parameter.grad.abs().sum() > 0 for parameter in quantizer.parameters())


@pytest.mark.parametrize("kind", ["cosine", "fsq"])
def test_a_quantizer_with_projections_learns_to_reproduce(kind: str) -> None:
    quantizer = make_quantizer(small(kind))
    quantizer.stagger = 0
    optimizer = torch.optim.Adam(quantizer.parameters(), 3e-3)
    mixing = torch.randn(4, 16)
    errors = []
    for _ in range(300):
        x = torch.randn(256, 4) @ mixing
        output = quantizer(x)
        error = (output.latents - x).square().mean()
        optimizer.zero_grad()
        (error + output.commitment).backward()
        optimizer.step()
        errors.append(error.item() / x.square().mean().item())
    assert errors[-1] < 0.5 * errors[0]
    assert errors[-1] < 0.35


# All kinds


@ALL
@pytest.mark.parametrize("bridge", ["straight-through", "rotation"])
def test_codes_and_vectors_are_those_of_encode_and_decode(kind: str, bridge: str) -> None:
    quantizer = make_quantizer(small(kind, bridge=bridge)).train()
    quantizer.stagger = 0
    for _ in range(3):
        quantizer(torch.randn(4, 50, 16))
    quantizer.eval()
    x = torch.randn(2, 3, 50, 16)
    output = quantizer(x)
    assert torch.equal(quantizer.encode(x), output.codes)
    torch.testing.assert_close(quantizer.decode(output.codes), output.latents)
    assert torch.equal(quantizer.encode(x, 2), output.codes[..., :2])
    sizes = quantizer.codebook_sizes
    assert all(int(output.codes[..., n].max()) < size for n, size in enumerate(sizes))


@ALL
def test_a_vector_has_its_code_and_a_code_its_vector_however_few_there_are(kind: str) -> None:
    quantizer = make_quantizer(small(kind, dim=64, code_dim=8))
    book = quantizer.codebooks[0]
    x = torch.randn(1, 64, 200).transpose(1, 2)  # as an encoder at the sample rate gives it
    quantizer.train()(x)  # places the codes
    quantizer.eval()
    codes = book.encode(x)
    vectors = book.decode(codes)
    for count in (0, 1, 2, 3, 15):
        assert torch.equal(book.encode(x[:, :count]), codes[:, :count])
        assert torch.equal(book.decode(codes[:, :count]), vectors[:, :count])
        if isinstance(book, ProjectedCodebook):  # a code hides what is no near tie
            assert torch.equal(book.into(x[:, :count]), book.into(x)[:, :count])
    assert torch.equal(book.decode(codes[0, 7]), vectors[0, 7])


@ALL
def test_padding_changes_nothing(kind: str) -> None:
    quantizer = make_quantizer(small(kind)).train()
    quantizer.stagger = 0
    twin = make_quantizer(small(kind)).train()
    twin.stagger = 0
    twin.load_state_dict(quantizer.state_dict())
    x = torch.randn(1, 40, 16)
    garbage = torch.full((1, 10, 16), 1e4)
    mask = torch.arange(50)[None] < 40
    for _ in range(3):
        bare = quantizer(x)
        padded = twin(torch.cat([x, garbage], dim=1), mask)
        torch.testing.assert_close(padded.latents[:, :40], bare.latents, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(padded.commitment, bare.commitment, rtol=1e-4, atol=1e-5)


@ALL
def test_a_model_file_brings_them_back(kind: str, tmp_path: Path) -> None:
    config = CodecConfig.model_validate(
        {
            "backbone": {"family": "frames", "width": 16, "encoder_blocks": 1, "decoder_blocks": 1},
            "quantizer": small(kind).model_dump(),
        }
    )
    codec = Codec(config).train()
    codec.quantizer.stagger = 0
    for _ in range(2):
        codec(torch.randn(2, 1, 16000))
    codec.eval()
    fingerprint = save_model(tmp_path / "model.safetensors", codec, {})
    model = load_model(tmp_path / "model.safetensors")
    assert model.fingerprint == fingerprint
    waveform = torch.randn(1, 1, 16000)
    codes = codec.encode(waveform)
    assert torch.equal(model.codec.encode(waveform), codes)
    torch.testing.assert_close(model.codec.decode(codes), codec.decode(codes))


@pytest.mark.parametrize("kind", ["cosine", "ema"])
def test_restarts_keep_codes_in_use(kind: str) -> None:
    """Data that moves away from the first codes: without restarts most of them die."""
    used = {}
    for restart_below in (0.0, 0.1):
        torch.manual_seed(0)
        quantizer = make_quantizer(
            small(kind, num_codebooks=1, restart_below=restart_below, decay=0.9)
        )
        centres = 4 * torch.randn(32, 16)
        for step in range(60):
            moved = centres[: 4 if step < 20 else 32]
            x = moved[torch.randint(len(moved), (512,))] + 0.1 * torch.randn(512, 16)
            output = quantizer(x[None])
        used[restart_below] = float((count_codes(output.codes, 32) > 0).float().mean())
    assert used[0.1] > 0.85
    assert used[0.1] > used[0.0]
