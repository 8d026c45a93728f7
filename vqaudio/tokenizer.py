"""The tokenizer: sound to tokens and back, with one fixed answer for each sound."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from vqaudio import audio
from vqaudio.audio.arrays import as_array
from vqaudio.audio.decoding import Source as AudioSource
from vqaudio.checkpoint import Model, find_model
from vqaudio.codec import AnyCodec, Codec, Context
from vqaudio.devices import find_device
from vqaudio.errors import ModelError
from vqaudio.hub import PEER_PREFIX
from vqaudio.layers import freeze
from vqaudio.peers import Peer, load_peer
from vqaudio.pieces import Piece, cut, whole
from vqaudio.streaming import Side, StreamDecoder, StreamEncoder, decoder_side, encoder_side
from vqaudio.tokens import Source, StreamReader, Tokens
from vqaudio.tokens.fitting import check_levels, check_model

PIECE_SECONDS = 10.0
"""Long sound is computed in pieces of this length, plus context: they fit a CPU's cache."""


def load(model: str | os.PathLike[str] | None = None, *, device: str = "auto") -> Tokenizer:
    """A tokenizer from a model file, the name of a bundled model (None: the default), or user/model
    of the hub of Hugging Face.

    Of a codec of others, `model` is hf: and its repository on the hub, or the folder of its files.
    `device` is "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:1".

    Raises ModelError when there is no such model or device, MissingError when what it takes is
    not on this machine and cannot be fetched.
    """
    found, name = find_device(device), os.fspath(model or "")
    is_peer = name.startswith(PEER_PREFIX)
    return Tokenizer(load_peer(name) if is_peer else find_model(model), device=found)


class Tokenizer:
    """Turns waveforms into `Tokens` and back with one model.

    The codes of a sound do not depend on how it comes: alone or in a batch, as an array or as a
    file, in blocks of whatever size.
    """

    def __init__(
        self, model: Model | Peer, *, device: torch.device, pieces_at_once: int | None = None
    ) -> None:
        """`pieces_at_once` None is 1 on CPU, where that is fastest, and 16 elsewhere.

        It is 1 where the context of a piece is not known. The weights of the model's codec have to
        stay: what depends on them alone is computed once.
        """
        self.codec: AnyCodec = model.codec.to(device).eval()
        if isinstance(self.codec, Codec):
            freeze(self.codec)
        self.fingerprint = model.fingerprint
        self.card: dict[str, Any] = model.card
        self.device = device
        self.pieces_at_once = pieces_at_once or (1 if device.type == "cpu" else 16)
        if self.codec.encoder_context is None:
            self.pieces_at_once = 1
        self.piece_frames = max(round(PIECE_SECONDS * self.codec.frame_rate), 1)
        self._sides: dict[tuple[str, int], Side] = {}
        self._encoders: dict[int | None, Callable[[Tensor, Tensor | None], Tensor]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_sides": {}, "_encoders": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if isinstance(self.codec, Codec):
            freeze(self.codec)

    def __repr__(self) -> str:
        codec = self.codec
        sizes = "+".join(map(str, codec.codebook_sizes))
        return (
            f"Tokenizer({codec.sample_rate} Hz, {codec.frame_rate:g} frames/s, codebooks {sizes}, "
            f"{codec.bitrate():.0f} bit/s, model {self.fingerprint}, {self.device})"
        )

    @property
    def sample_rate(self) -> int:
        """Hz; other rates are resampled."""
        return self.codec.sample_rate

    def encode(
        self,
        samples: ArrayLike,
        sample_rate: int | None = None,
        *,
        num_codebooks: int | None = None,
    ) -> Tokens:
        """[S] or [channels, S] at `sample_rate` Hz (None: the model's own) -> Tokens.

        NumPy array, torch tensor or list: floats of full scale 1, or signed integers. Channels are
        averaged. `num_codebooks` takes the first levels only.

        Raises AudioError for what is no sound, TokensError for levels that the model lacks.
        """
        return self.encode_batch([samples], sample_rate, num_codebooks=num_codebooks)[0]

    def encode_batch(
        self,
        waveforms: Sequence[ArrayLike],
        sample_rate: int | None = None,
        *,
        num_codebooks: int | None = None,
    ) -> list[Tokens]:
        """As `encode` for each of several waveforms, of whatever lengths."""
        self.check_levels(num_codebooks)
        rate = self.sample_rate if sample_rate is None else sample_rate
        sources = [as_array(samples) for samples in waveforms]
        mono = [audio.as_waveform(s, rate, target_rate=self.sample_rate) for s in sources]
        pieces = [
            (index, piece)
            for index, waveform in enumerate(mono)
            for piece in self._cut_samples([waveform])
        ]
        # Pieces of like length share a batch, so that little of it is padding.
        order = sorted(range(len(pieces)), key=lambda place: pieces[place][1].data.shape[1])
        in_order = self._encode_pieces((pieces[place][1] for place in order), num_codebooks)
        codes = dict(zip(order, in_order, strict=True))
        parts: list[list[NDArray[np.uint16]]] = [[] for _ in mono]
        for place, (index, _) in enumerate(pieces):
            parts[index].append(codes[place])
        return [
            self._tokens(
                part,
                waveform.shape[1],
                Source(int(rate), source.shape[-1], source.size // source.shape[-1]),
            )
            for part, waveform, source in zip(parts, mono, sources, strict=True)
        ]

    def encode_file(self, source: AudioSource, *, num_codebooks: int | None = None) -> Tokens:
        """The tokens of a sound file or binary file object, in constant memory.

        Raises AudioError when it cannot be read, TokensError for levels that the model lacks.
        """
        self.check_levels(num_codebooks)
        with (
            audio.read_blocks(source, sample_rate=self.sample_rate) as stream,
            audio.read_ahead(stream) as blocks,
        ):
            pieces = self._cut_samples(block[None] for block in blocks)
            codes = list(self._encode_pieces(pieces, num_codebooks))
            return self._tokens(
                codes,
                stream.num_samples,
                Source(
                    stream.source.sample_rate,
                    stream.source_num_samples,
                    stream.source.num_channels,
                ),
            )

    def decode(self, tokens: Tokens) -> Tensor:
        """Tokens -> waveform [1, num_samples] float32 on CPU, at the model's sample rate.

        Raises TokensError when another model made the tokens.
        """
        return torch.from_numpy(np.concatenate(list(self.decode_blocks(tokens)))[None])

    def decode_blocks(self, tokens: Tokens) -> Iterator[NDArray[np.float32]]:
        """As `decode`, in consecutive blocks [n] and constant memory."""
        self.check_model(tokens)
        hop = self.codec.hop_length
        pieces = self._cut([tokens.codes], hop=1, context=self.codec.decoder_context)
        remaining = tokens.num_samples
        for batch in _batched(pieces, self.pieces_at_once):
            codes, lengths = _stack(batch, np.int64)
            waveforms = self.codec.decode(
                torch.from_numpy(codes).to(self.device), self._lengths(lengths, codes)
            ).cpu()
            for piece, waveform in zip(batch, waveforms, strict=True):
                block = waveform[0, piece.skip * hop : (piece.skip + piece.keep) * hop]
                yield block[:remaining].numpy()
                remaining -= len(block)

    def decode_file(self, tokens: Tokens, path: str | os.PathLike[str]) -> None:
        """Write the sound of `tokens` to a .wav, .flac or .ogg file, in constant memory.

        At the sample rate and length of the sound that was tokenized, as far as `tokens` knows.

        Raises TokensError when another model made the tokens, AudioError or VqaudioError when the
        file cannot be written.
        """
        self.check_model(tokens)
        source = tokens.source or Source(tokens.sample_rate, tokens.num_samples)
        audio.write_blocks(
            path,
            self.decode_blocks(tokens),
            self.sample_rate,
            target_rate=source.sample_rate,
            num_samples=source.num_samples,
        )

    def stream_encoder(
        self,
        sample_rate: int | None = None,
        *,
        num_codebooks: int | None = None,
        resume: bytes | None = None,
    ) -> StreamEncoder:
        """Encodes sound of `sample_rate` Hz (None: the model's own) while it comes.

        `resume` goes on with a stream that was put away by its `to_bytes`. Many streams are
        computed together by `vqaudio.streaming.push_all`.

        Raises ModelError for a codec of others, TokensError for levels that the model lacks,
        VqaudioError for what is no stream.
        """
        codec, levels = self._streaming(num_codebooks)
        stream = StreamEncoder(
            codec,
            self._side(encoder_side, levels),
            model=self.fingerprint,
            num_codebooks=levels,
            sample_rate=self.sample_rate if sample_rate is None else sample_rate,
        )
        if resume is not None:
            stream.restore(resume)
        return stream

    def stream_decoder(
        self, *, num_codebooks: int | None = None, resume: bytes | None = None
    ) -> StreamDecoder:
        """Decodes codes of `num_codebooks` levels (None: all) while they come.

        `resume` and errors as those of `stream_encoder`.
        """
        codec, levels = self._streaming(num_codebooks)
        side = self._side(decoder_side, levels)
        stream = StreamDecoder(codec, side, model=self.fingerprint, num_codebooks=levels)
        if resume is not None:
            stream.restore(resume)
        return stream

    def _streaming(self, num_codebooks: int | None) -> tuple[Codec, int]:
        """The codec and the levels of a stream."""
        self.check_levels(num_codebooks)
        if not isinstance(self.codec, Codec):
            raise ModelError(
                f"model {self.fingerprint} does not stream: how far its layers look is not known; "
                "tokenize whole sounds (in pipes with --format npz), or take a model of vqaudio"
            )
        return self.codec, num_codebooks or len(self.codec.codebook_sizes)

    def _side(self, make: Callable[[Codec, int], Side], levels: int) -> Side:
        """Made once: streams of the same side can be computed together."""
        assert isinstance(self.codec, Codec)
        key = (make.__name__, levels)
        if key not in self._sides:
            self._sides[key] = make(self.codec, levels)
        return self._sides[key]

    def check_model(self, tokens: Tokens | StreamReader) -> None:
        """Raises TokensError when another model made `tokens`."""
        codec = self.codec
        check_model(
            tokens,
            model=self.fingerprint,
            sample_rate=codec.sample_rate,
            hop_length=codec.hop_length,
            codebook_sizes=codec.codebook_sizes,
        )
        self.check_levels(tokens.num_codebooks)

    def check_levels(self, num_codebooks: int | None) -> None:
        """Raises TokensError when the model has not so many, or needs more; None is all."""
        codec = self.codec
        check_levels(num_codebooks, len(codec.codebook_sizes), least=codec.min_codebooks)

    def _cut_samples(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[Piece]:
        return self._cut(blocks, hop=self.codec.hop_length, context=self.codec.encoder_context)

    def _cut(
        self, blocks: Iterable[NDArray[Any]], *, hop: int, context: Context | None
    ) -> Iterator[Piece]:
        if context is None:
            return whole(blocks, hop=hop)
        frames = self.piece_frames
        return cut(blocks, hop=hop, frames=frames, left=context.left, right=context.right)

    def _encode_pieces(
        self, pieces: Iterable[Piece], num_codebooks: int | None
    ) -> Iterator[NDArray[np.uint16]]:
        """Pieces of waveforms [1, n] -> for each, the codes [Q, keep] of its wanted frames."""
        encode = self._encoder(num_codebooks)
        for batch in _batched(pieces, self.pieces_at_once):
            samples, lengths = _stack(batch, np.float32)
            codes = encode(
                torch.from_numpy(samples).to(self.device), self._lengths(lengths, samples)
            )
            in_16_bits = codes.cpu().numpy().astype(np.uint16)
            for piece, item in zip(batch, in_16_bits, strict=True):
                yield item[:, piece.skip : piece.skip + piece.keep]

    def _encoder(self, num_codebooks: int | None) -> Callable[[Tensor, Tensor | None], Tensor]:
        """The codec's `encode`, made once: the searches among its codes are kept."""
        codec = self.codec
        if num_codebooks not in self._encoders:
            self._encoders[num_codebooks] = (
                codec.frozen_encode(num_codebooks)
                if isinstance(codec, Codec)
                else partial(codec.encode, num_codebooks=num_codebooks)
            )
        return self._encoders[num_codebooks]

    def _lengths(self, lengths: list[int], padded: NDArray[Any]) -> Tensor | None:
        """[B] on the device; None when nothing is padded, which spares the masking."""
        if min(lengths) == padded.shape[-1]:
            return None
        return torch.tensor(lengths, device=self.device)

    def _tokens(self, parts: list[NDArray[np.uint16]], num_samples: int, source: Source) -> Tokens:
        codes = np.concatenate(parts, axis=1)
        return Tokens(
            codes,
            num_samples=num_samples,
            sample_rate=self.sample_rate,
            hop_length=self.codec.hop_length,
            codebook_sizes=self.codec.codebook_sizes[: len(codes)],
            model=self.fingerprint,
            source=source,
        )


def _stack(pieces: Sequence[Piece], dtype: type) -> tuple[NDArray[Any], list[int]]:
    """Pieces [C, n_i] -> [B, C, max n_i], padded with zeros, and the n_i."""
    lengths = [piece.data.shape[1] for piece in pieces]
    padded = np.zeros((len(pieces), pieces[0].data.shape[0], max(lengths)), dtype)
    for row, piece in zip(padded, pieces, strict=True):
        row[:, : piece.data.shape[1]] = piece.data
    return padded, lengths


Item = TypeVar("Item")


def _batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
