"""Streams: what comes part by part is what the whole gives, for one stream or many at once."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sounds import recorded_speech
from test_tokenizer import BACKBONES, CPU, HOP, relaxed, small_model

from vqaudio import AudioError, Tokenizer, Tokens, TokensError, VqaudioError, load
from vqaudio.streaming import StreamDecoder, StreamEncoder, flush_all, push_all

KINDS = [(family, causal) for family in BACKBONES for causal in (False, True)]


@cache
def tokenizer_of(family: str, causal: bool) -> Tokenizer:
    return Tokenizer(small_model(family, causal=causal, folder=Path(mkdtemp())), device=CPU)


def noise(num_samples: int, seed: int = 0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    return 0.1 * random.standard_normal(num_samples, dtype=np.float32)


def parts_of(data: NDArray[Any], sizes: list[int]) -> list[NDArray[Any]]:
    """`data` [..., n] cut into parts of `sizes`, again and again."""
    parts, start, turn = [], 0, 0
    while start < data.shape[-1]:
        parts.append(data[..., start : start + sizes[turn % len(sizes)]])
        start += sizes[turn % len(sizes)]
        turn += 1
    return parts


def encode(encoder: StreamEncoder, parts: list[NDArray[Any]]) -> Tokens:
    return encoder.to_tokens([*(encoder.push(part) for part in parts), encoder.flush()])


def decode(decoder: StreamDecoder, parts: list[NDArray[Any]], num_samples: int) -> NDArray[Any]:
    pushed = [decoder.push(part) for part in parts]
    return np.concatenate([*pushed, decoder.flush(num_samples)])[:num_samples]


kinds = st.sampled_from(KINDS)
sizes = st.lists(st.integers(0, 5 * HOP), min_size=1, max_size=6).filter(any)


@relaxed
@given(kinds, st.integers(1, 60 * HOP), sizes)
def test_a_stream_gives_the_codes_of_the_whole(
    kind: tuple[str, bool], num_samples: int, sizes: list[int]
) -> None:
    tokenizer, sound = tokenizer_of(*kind), noise(num_samples)
    assert encode(tokenizer.stream_encoder(), parts_of(sound, sizes)) == tokenizer.encode(sound)


@relaxed
@given(kinds, st.integers(1, 60 * HOP), st.lists(st.integers(0, 7), min_size=1).filter(any))
def test_a_stream_gives_the_sound_of_the_whole(
    kind: tuple[str, bool], num_samples: int, sizes: list[int]
) -> None:
    tokenizer = tokenizer_of(*kind)
    tokens = tokenizer.encode(noise(num_samples))
    decoded = decode(tokenizer.stream_decoder(), parts_of(tokens.codes, sizes), num_samples)
    assert decoded.shape == (num_samples,)
    assert np.abs(decoded - tokenizer.decode(tokens)[0].numpy()).max() < 1e-5


@relaxed
@given(kinds, st.lists(st.integers(1, 20 * HOP), min_size=2, max_size=5), sizes)
def test_many_streams_at_once_give_what_each_gives_alone(
    kind: tuple[str, bool], lengths: list[int], sizes: list[int]
) -> None:
    """They begin at different times, move at different speed, and end as they like."""
    tokenizer = tokenizer_of(*kind)
    sounds = [noise(length, seed) for seed, length in enumerate(lengths)]
    encoders = [tokenizer.stream_encoder() for _ in sounds]
    found: list[list[NDArray[Any]]] = [[] for _ in sounds]
    starts = [0] * len(sounds)
    turn = 0
    while any(start < len(sound) for start, sound in zip(starts, sounds, strict=True)):
        inputs = []
        for place, sound in enumerate(sounds):
            size = sizes[(turn + place) % len(sizes)]
            inputs.append(sound[starts[place] : starts[place] + size])
            starts[place] += size
        for place, codes in enumerate(push_all(encoders, inputs)):
            found[place].append(codes)
        turn += 1
    for place, codes in enumerate(flush_all(encoders)):
        found[place].append(codes)
    for sound, encoder, parts in zip(sounds, encoders, found, strict=True):
        assert encoder.to_tokens(parts) == tokenizer.encode(sound)


@pytest.mark.parametrize(("family", "causal"), KINDS)
def test_many_decoders_at_once(family: str, causal: bool) -> None:
    tokenizer = tokenizer_of(family, causal)
    tokens = [tokenizer.encode(noise(n * HOP, n)) for n in (9, 17, 30)]
    decoders = [tokenizer.stream_decoder() for _ in tokens]
    pushed = push_all(decoders, [one.codes for one in tokens])
    rest = flush_all(decoders)
    for one, *parts in zip(tokens, pushed, rest, strict=True):
        sound = tokenizer.decode(one)[0].numpy()
        assert np.abs(np.concatenate(parts) - sound).max() < 1e-5


@pytest.mark.parametrize(("family", "causal"), KINDS)
def test_a_code_comes_out_as_soon_as_delay_says(family: str, causal: bool) -> None:
    tokenizer = tokenizer_of(family, causal)
    encoder, decoder = tokenizer.stream_encoder(), tokenizer.stream_decoder()
    samples = HOP + round(encoder.delay * tokenizer.sample_rate)
    assert encoder.push(noise(samples - 1)).shape == (3, 0)
    assert encoder.push(noise(1)).shape == (3, 1)
    frames = -(-(HOP + round(decoder.delay * tokenizer.sample_rate)) // HOP)
    codes = np.zeros((3, 1), np.uint16)
    before = sum(len(decoder.push(codes)) for _ in range(frames - 1))
    assert before < HOP <= before + len(decoder.push(codes))
    latency = tokenizer.codec.latency * tokenizer.sample_rate
    assert latency == pytest.approx(samples + (frames - 1) * HOP)


@pytest.mark.parametrize(("family", "causal"), KINDS)
def test_causal_models_look_ahead_no_further_than_their_windows(family: str, causal: bool) -> None:
    tokenizer = tokenizer_of(family, causal)
    if causal:
        assert tokenizer.stream_encoder().delay == 0
        overlap = 3 * HOP if family == "frames" else 0
        assert tokenizer.stream_decoder().delay == overlap / tokenizer.sample_rate
    else:
        assert tokenizer.stream_encoder().delay > 0


def test_the_layers_remember_as_much_later_as_after_a_second() -> None:
    encoder = tokenizer_of("frames", False).stream_encoder()
    encoder.push(noise(1600))
    early = len(encoder.to_bytes())
    for _ in range(20):
        encoder.push(noise(16000))
    assert abs(len(encoder.to_bytes()) - early) < 2000  # what waits differs, by less than a frame
    assert encoder.line.waiting.shape[1] < HOP


@pytest.mark.parametrize("sample_rate", [1600, 1000, 2400])
def test_stereo_and_other_rates_and_integers(sample_rate: int) -> None:
    tokenizer = tokenizer_of("frames", False)
    sound = (3000 * np.random.default_rng(0).standard_normal((2, 4001))).astype(np.int16)
    encoder = tokenizer.stream_encoder(sample_rate)
    tokens = encode(encoder, parts_of(sound, [700, 1, 0, 99]))
    assert tokens == tokenizer.encode(sound, sample_rate)


def test_fewer_levels() -> None:
    tokenizer, sound = tokenizer_of("frames", True), noise(900)
    two = tokenizer.encode(sound).first(2)
    assert encode(tokenizer.stream_encoder(num_codebooks=2), parts_of(sound, [50])) == two
    decoder = tokenizer.stream_decoder(num_codebooks=2)
    decoded = decode(decoder, parts_of(two.codes, [3]), 900)
    assert np.abs(decoded - tokenizer.decode(two)[0].numpy()).max() < 1e-5


# Put away and resumed


@relaxed
@given(kinds, st.integers(1, 12 * HOP), st.integers(1, 12 * HOP))
def test_a_stream_goes_on_from_its_bytes(kind: tuple[str, bool], first: int, second: int) -> None:
    tokenizer, sound = tokenizer_of(*kind), noise(first + second)
    encoder = tokenizer.stream_encoder()
    codes = [encoder.push(sound[:first])]
    encoder = tokenizer.stream_encoder(resume=encoder.to_bytes())
    codes += [encoder.push(sound[first:]), encoder.flush()]
    tokens = encoder.to_tokens(codes)
    assert tokens == tokenizer.encode(sound)

    decoder = tokenizer.stream_decoder()
    half = tokens.num_frames // 2
    decoded = [decoder.push(tokens.codes[:, :half])]
    decoder = tokenizer.stream_decoder(resume=decoder.to_bytes())
    decoded += [decoder.push(tokens.codes[:, half:]), decoder.flush(len(sound))]
    whole = tokenizer.decode(tokens)[0].numpy()
    assert np.abs(np.concatenate(decoded)[: len(sound)] - whole).max() < 1e-5


def test_a_stream_does_not_go_on_with_another_model_kind_or_level() -> None:
    frames, waveform = tokenizer_of("frames", False), tokenizer_of("waveform", False)
    data = frames.stream_encoder().to_bytes()
    with pytest.raises(VqaudioError, match="same model"):
        waveform.stream_encoder(resume=data)
    with pytest.raises(VqaudioError, match="'num_codebooks': 3"):
        frames.stream_encoder(num_codebooks=1, resume=data)
    with pytest.raises(VqaudioError, match="kind"):
        frames.stream_decoder(resume=data)
    for damaged in (b"", b"PK\x03\x04", data[:-30]):
        with pytest.raises(VqaudioError, match="no stream that was put away"):
            frames.stream_encoder(resume=damaged)


def test_a_stream_that_resamples_cannot_be_put_away() -> None:
    with pytest.raises(VqaudioError, match="push sound at 1600 Hz"):
        tokenizer_of("frames", False).stream_encoder(2400).to_bytes()


# What is refused leaves the stream as it was


def test_bad_sound_changes_nothing() -> None:
    tokenizer, sound = tokenizer_of("frames", False), noise(900)
    encoder = tokenizer.stream_encoder()
    codes = [encoder.push(sound[:300])]
    for bad, words in (
        (np.array([0.1, np.nan]), "NaN or infinite at 0.1881 s"),
        (np.ones((2, 3, 4)), "shape"),
        (["a"], "type"),
        (np.full(3, 1e6), "integers stored as floats"),
    ):
        with pytest.raises(AudioError, match=words):
            encoder.push(bad)
    codes += [encoder.push(sound[300:]), encoder.flush()]
    assert encoder.to_tokens(codes) == tokenizer.encode(sound)


def test_bad_codes_change_nothing() -> None:
    tokenizer = tokenizer_of("frames", False)
    tokens = tokenizer.encode(noise(900))
    decoder = tokenizer.stream_decoder()
    parts = [decoder.push(tokens.codes[:, :9])]
    for bad, words in (
        (np.full((3, 1), 16), "from 16 to 16"),
        (np.full((3, 1), -1), "from -1 to -1"),
        (np.zeros((2, 4), int), "shape"),
        (np.zeros((3, 4)), "float64"),
    ):
        with pytest.raises(TokensError, match=words):
            decoder.push(bad)
    parts += [decoder.push(tokens.codes[:, 9:])]
    with pytest.raises(TokensError, match="5 samples with 32 samples per frame make 1 frames"):
        decoder.flush(5)
    parts += [decoder.flush(900)]
    assert np.abs(np.concatenate(parts) - tokenizer.decode(tokens)[0].numpy()).max() < 1e-5


def test_what_has_ended_takes_no_more() -> None:
    tokenizer = tokenizer_of("frames", False)
    encoder, decoder = tokenizer.stream_encoder(), tokenizer.stream_decoder()
    encoder.push(noise(10))
    encoder.flush()
    decoder.push(np.zeros((3, 1), int))
    decoder.flush()
    for again in (lambda: encoder.push(noise(1)), encoder.flush, encoder.to_bytes, decoder.flush):
        with pytest.raises(VqaudioError, match="has ended"):
            again()


def test_nothing_at_all_is_refused() -> None:
    tokenizer = tokenizer_of("frames", False)
    with pytest.raises(AudioError, match="no samples"):
        tokenizer.stream_encoder().flush()
    with pytest.raises(TokensError, match="no codes"):
        tokenizer.stream_decoder().flush()
    with pytest.raises(TokensError, match="4 levels"):
        tokenizer.stream_encoder(num_codebooks=4)


def test_streams_of_two_kinds_are_not_computed_together() -> None:
    one, other = tokenizer_of("frames", False), tokenizer_of("frames", True)
    for streams in (
        [one.stream_encoder(), other.stream_encoder()],
        [one.stream_encoder(), one.stream_encoder(num_codebooks=1)],
    ):
        with pytest.raises(VqaudioError, match="one tokenizer"):
            push_all(streams, [noise(10), noise(10)])


@pytest.mark.parametrize("name", ["speech-16k", "speech-16k-causal"])
def test_the_bundled_models_on_speech(name: str) -> None:
    tokenizer = load(name, device="cpu")
    speech = recorded_speech()[: 16000 * 4]
    tokens = tokenizer.encode(speech)
    assert encode(tokenizer.stream_encoder(), parts_of(speech, [320, 1, 5000, 333])) == tokens
    decoded = decode(tokenizer.stream_decoder(), parts_of(tokens.codes, [1, 7]), len(speech))
    assert np.abs(decoded - tokenizer.decode(tokens)[0].numpy()).max() < 1e-5


def test_a_bad_input_or_end_of_one_stream_leaves_all_as_they_were() -> None:
    tokenizer, sound = tokenizer_of("frames", False), noise(900)
    one, other = tokenizer.stream_encoder(), tokenizer.stream_encoder()
    with pytest.raises(AudioError, match="NaN"):
        push_all([one, other], [sound, np.array([np.nan])])
    with pytest.raises(VqaudioError, match="1 inputs came for 2 streams"):
        push_all([one, other], [sound])
    with pytest.raises(VqaudioError, match="there twice"):
        push_all([one, one], [sound, sound])
    codes, _ = push_all([one, other], [sound, sound[:0]])
    with pytest.raises(AudioError, match="no samples"):
        flush_all([one, other])
    assert one.to_tokens([codes, one.flush()]) == tokenizer.encode(sound)


def test_tensors_and_many_channels() -> None:
    tokenizer = tokenizer_of("frames", False)
    sound = torch.from_numpy(np.stack([noise(900, seed) for seed in range(6)]))
    encoder = tokenizer.stream_encoder()
    parts = [encoder.push(part) for part in sound.split([500, 4, 396], dim=1)]
    tokens = encoder.to_tokens([*parts, encoder.flush()])
    assert tokens == tokenizer.encode(sound)
    assert tokens.source is not None
    assert tokens.source.num_channels == 6
    half = tokenizer.stream_encoder().push(sound[0].bfloat16())
    assert (half == tokenizer.stream_encoder().push(sound[0].bfloat16().float())).all()


def test_another_number_of_channels_or_samples_before_channels() -> None:
    encoder = tokenizer_of("frames", False).stream_encoder()
    with pytest.raises(AudioError, match="64 channels of one sample; transpose"):
        encoder.push(np.zeros((64, 1)))
    encoder.push(np.zeros((2, 100)))
    with pytest.raises(AudioError, match="1 channels came, those before were of 2"):
        encoder.push(np.zeros(100))


def test_a_stream_is_resumed_at_its_sample_rate() -> None:
    tokenizer = tokenizer_of("frames", False)
    data = tokenizer.stream_encoder().to_bytes()
    with pytest.raises(VqaudioError, match="'sample_rate': 1600"):
        tokenizer.stream_encoder(2400, resume=data)


def test_tokens_of_nothing_are_refused() -> None:
    encoder = tokenizer_of("frames", False).stream_encoder()
    encoder.push(noise(10))
    with pytest.raises(TokensError, match="frames"):
        encoder.to_tokens([])


def test_streams_do_not_hold_each_other_s_memory() -> None:
    """What a stream remembers is its own, not a view of the batch that it was computed in."""
    tokenizer = tokenizer_of("frames", False)
    encoders = [tokenizer.stream_encoder() for _ in range(4)]
    push_all(encoders, [noise(40 * HOP)] * 4)
    for state in encoders[0].line.states:
        assert state.untyped_storage().nbytes() == state.numel() * torch.float32.itemsize
