"""The tokenizer without torch: sound to tokens and back, by the graphs of an exported model."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vqaudio import audio
from vqaudio.audio.arrays import as_array
from vqaudio.audio.decoding import Source as AudioSource
from vqaudio.onnx.manifest import read_manifest
from vqaudio.onnx.sessions import Graph
from vqaudio.onnx.streams import OnnxStreamDecoder, OnnxStreamEncoder, all_levels
from vqaudio.pieces import cut
from vqaudio.tokens import Source, Tokens
from vqaudio.tokens.fitting import check_levels, check_model


class OnnxTokenizer:
    """As `vqaudio.Tokenizer`, from a folder that `vqaudio export-onnx` has written.

    The tokens are those of the model that was exported, and carry its fingerprint. A graph is read
    when it is first needed.
    """

    def __init__(self, folder: str | os.PathLike[str], *, threads: int | None = None) -> None:
        """`threads` None is one for each core.

        Raises ModelError when `folder` holds no exported model.
        """
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        self._graph = partial(Graph, self.folder, manifest=self.manifest, threads=threads)

    def __repr__(self) -> str:
        facts = self.manifest
        sizes = "+".join(map(str, facts.codebook_sizes))
        return (
            f"OnnxTokenizer({facts.sample_rate} Hz, {facts.frame_rate:g} frames/s, "
            f"codebooks {sizes}, model {facts.fingerprint})"
        )

    @property
    def fingerprint(self) -> str:
        """Of the model that was exported."""
        return self.manifest.fingerprint

    @property
    def sample_rate(self) -> int:
        """Hz; other rates are resampled."""
        return self.manifest.sample_rate

    def encode(
        self,
        samples: ArrayLike,
        sample_rate: int | None = None,
        *,
        num_codebooks: int | None = None,
    ) -> Tokens:
        """[S] or [channels, S] at `sample_rate` Hz (None: the model's own) -> Tokens.

        Raises AudioError for what is no sound, TokensError for levels that the model lacks.
        """
        self.check_levels(num_codebooks)
        rate = self.sample_rate if sample_rate is None else sample_rate
        source = as_array(samples)
        waveform = audio.as_waveform(source, rate, target_rate=self.sample_rate)
        codes = self._encode([waveform], num_codebooks)
        origin = Source(int(rate), source.shape[-1], source.size // source.shape[-1])
        return self._tokens(codes, waveform.shape[1], origin)

    def encode_file(self, source: AudioSource, *, num_codebooks: int | None = None) -> Tokens:
        """The tokens of a sound file or binary file object, in constant memory.

        Raises AudioError when it cannot be read, TokensError for levels that the model lacks.
        """
        self.check_levels(num_codebooks)
        with (
            audio.read_blocks(source, sample_rate=self.sample_rate) as stream,
            audio.read_ahead(stream) as blocks,
        ):
            codes = self._encode((block[None] for block in blocks), num_codebooks)
            origin = Source(
                stream.source.sample_rate, stream.source_num_samples, stream.source.num_channels
            )
            return self._tokens(codes, stream.num_samples, origin)

    def decode(self, tokens: Tokens) -> NDArray[np.float32]:
        """Tokens -> waveform [1, num_samples], at the model's sample rate.

        Raises TokensError when another model made the tokens.
        """
        return np.concatenate(list(self.decode_blocks(tokens)))[None]

    def decode_blocks(self, tokens: Tokens) -> Iterator[NDArray[np.float32]]:
        """As `decode`, in consecutive blocks [n] and constant memory."""
        self.check_model(tokens)
        facts = self.manifest
        left, right = facts.decoder_context
        pieces = cut([tokens.codes], hop=1, frames=facts.piece_frames, left=left, right=right)
        remaining, hop = tokens.num_samples, facts.hop_length
        for piece in pieces:
            codes = all_levels(piece.data, len(facts.codebook_sizes))
            waveform = self._decoder.run(codes[None])[0][0, 0]
            block = waveform[piece.skip * hop : (piece.skip + piece.keep) * hop][:remaining]
            remaining -= len(block)
            yield block

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
        self, sample_rate: int | None = None, *, num_codebooks: int | None = None
    ) -> OnnxStreamEncoder:
        """Encodes sound of `sample_rate` Hz (None: the model's own) while it comes.

        Raises TokensError for levels that the model lacks.
        """
        self.check_levels(num_codebooks)
        return OnnxStreamEncoder(
            self._encoder_step.run,
            self.manifest,
            num_codebooks=num_codebooks or len(self.manifest.codebook_sizes),
            sample_rate=self.sample_rate if sample_rate is None else sample_rate,
        )

    def stream_decoder(self, *, num_codebooks: int | None = None) -> OnnxStreamDecoder:
        """Decodes codes of `num_codebooks` levels (None: all) while they come.

        Raises TokensError for levels that the model lacks.
        """
        self.check_levels(num_codebooks)
        levels = num_codebooks or len(self.manifest.codebook_sizes)
        return OnnxStreamDecoder(self._decoder_step.run, self.manifest, num_codebooks=levels)

    def check_model(self, tokens: Tokens) -> None:
        """Raises TokensError when another model made `tokens`."""
        facts = self.manifest
        check_model(
            tokens,
            model=facts.fingerprint,
            sample_rate=facts.sample_rate,
            hop_length=facts.hop_length,
            codebook_sizes=facts.codebook_sizes,
        )

    def check_levels(self, num_codebooks: int | None) -> None:
        """Raises TokensError when the model has not so many; None is all."""
        check_levels(num_codebooks, len(self.manifest.codebook_sizes))

    @cached_property
    def _encoder(self) -> Graph:
        return self._graph("encoder")

    @cached_property
    def _decoder(self) -> Graph:
        return self._graph("decoder")

    @cached_property
    def _encoder_step(self) -> Graph:
        return self._graph("encoder_step")

    @cached_property
    def _decoder_step(self) -> Graph:
        return self._graph("decoder_step")

    def _encode(
        self, blocks: Iterable[NDArray[Any]], num_codebooks: int | None
    ) -> NDArray[np.uint16]:
        """Blocks [1, n] of a waveform -> the codes [Q, T] of all of it."""
        facts = self.manifest
        left, right = facts.encoder_context
        hop, frames = facts.hop_length, facts.piece_frames
        parts = []
        for piece in cut(blocks, hop=hop, frames=frames, left=left, right=right):
            codes = self._encoder.run(piece.data[None])[0][0]
            wanted = codes[:num_codebooks, piece.skip : piece.skip + piece.keep]
            parts.append(wanted.astype(np.uint16))
        # In the order in which torch leaves them, so that the token files have the same bytes.
        return np.asfortranarray(np.concatenate(parts, axis=1))

    def _tokens(self, codes: NDArray[np.uint16], num_samples: int, source: Source) -> Tokens:
        facts = self.manifest
        return Tokens(
            codes,
            num_samples=num_samples,
            sample_rate=facts.sample_rate,
            hop_length=facts.hop_length,
            codebook_sizes=facts.codebook_sizes[: len(codes)],
            model=facts.fingerprint,
            source=source,
        )
