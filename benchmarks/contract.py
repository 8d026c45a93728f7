"""How many codes of real speech change with batch, piece length or number of threads.

    python benchmarks/contract.py DATA [--model MODEL] [--minutes 60] [--threads 1 2]

The token contract says none; float32 rounding can decide a near tie otherwise, and then the later
levels of that frame follow. DATA is any folder of sound files. Each file alone, with the pieces
that a tokenizer cuts it into and the first number of threads, is what all else is compared with:

- batch: 7 pieces of about the same length at once; ragged, 7 of whatever lengths, with padding.
- pieces: the usual ones of 10 s, and others of 37 frames.
- streamed: in pushes of all sizes.

A margin is by how much the second best code's squared distance exceeds the best's, as a fraction of
the best's, in float64. That of a changed frame is the margin of its first level that changed. The
largest sample difference is between decodings of the same codes.

The last table is the encoder under bfloat16 autocast, which no tokenizer computes in.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from measuring import machine, table
from numpy.typing import NDArray
from torch import Tensor

import vqaudio
from vqaudio import audio
from vqaudio.checkpoint import find_model
from vqaudio.codec import Codec
from vqaudio.codec.codec import exact_float32
from vqaudio.tokenizer import Tokenizer

AT_ONCE = 7
SHORT_PIECES = 37
"""Frames."""
MARGINS = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3)
CPU = torch.device("cpu")


class Alone(NamedTuple):
    """A file by itself."""

    sound: NDArray[np.float32]
    """[1, S]."""
    tokens: vqaudio.Tokens
    waveform: Tensor
    """[1, S], decoded."""
    margins: NDArray[np.float64]
    """[Q, T]."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of sound files")
    parser.add_argument("--model", help="model file or name")
    parser.add_argument("--minutes", type=float, default=60.0, help="of sound, at the most")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()

    model = find_model(arguments.model)
    usual = Tokenizer(model, device=CPU)
    torch.set_num_threads(arguments.threads[0])
    files = [compute_alone(usual, s) for s in read_sounds(arguments.data, usual, arguments.minutes)]
    total = sum(file.tokens.codes.size for file in files)
    seconds = sum(file.tokens.seconds for file in files)
    print(f"{machine(arguments.threads[0])}, {usual}")
    print(f"\n{len(files)} files, {seconds / 60:.0f} minutes, {total} codes\n")

    rows = []
    ways = product(arguments.threads, (None, SHORT_PIECES), ("alone", str(AT_ONCE), "ragged"))
    for threads, frames, batch in islice(ways, 1, None):  # the first is what the rest is held to
        torch.set_num_threads(threads)
        at_once = 1 if batch == "alone" else AT_ONCE
        tokenizer = Tokenizer(model, device=CPU, pieces_at_once=at_once)
        tokenizer.piece_frames = frames or tokenizer.piece_frames
        codes = encode(tokenizer, [file.sound for file in files], ragged=batch == "ragged")
        difference = largest_difference(tokenizer, files, ragged=batch == "ragged")
        pieces = f"{tokenizer.piece_frames} frames"
        rows.append([batch, pieces, threads, *changes(files, codes), f"{difference:.1e}"])
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        streams = [stream(usual, file) for file in files]
        differing = changes(files, [codes for codes, _ in streams])
        difference = max(difference for _, difference in streams)
        rows.append(["streamed", "ragged", threads, *differing, f"{difference:.1e}"])
    print(table([*HEADER, "largest sample difference"], rows))
    torch.set_num_threads(arguments.threads[0])
    print_margins(files)
    print_bfloat16(usual, files)


HEADER = (
    "batch",
    "pieces",
    "threads",
    "codes that differ",
    "in a million",
    "frames, by first level that differs",
    "largest margin of these",
)


def read_sounds(
    folder: Path, tokenizer: Tokenizer, minutes: float
) -> Iterator[NDArray[np.float32]]:
    seconds = 0.0
    for file in audio.find_audio(folder):
        waveform = audio.read(file, sample_rate=tokenizer.sample_rate).waveform
        yield waveform
        seconds += waveform.shape[1] / tokenizer.sample_rate
        if seconds > 60 * minutes:
            break


def stream(tokenizer: Tokenizer, file: Alone) -> tuple[NDArray[np.uint16], float]:
    """The codes [Q, T] of pushes of 1 to 9600 samples, and how far the samples are off that come of
    pushes of 1 to 30 frames."""
    random = np.random.default_rng(0)
    encoder, decoder = tokenizer.stream_encoder(), tokenizer.stream_decoder()
    cuts = np.cumsum(random.integers(1, 9601, file.sound.shape[1] // 4800 + 10))
    parts = [encoder.push(part) for part in np.split(file.sound[0], cuts)]
    codes = np.concatenate([*parts, encoder.flush()], axis=1)
    cuts = np.cumsum(random.integers(1, 31, file.tokens.num_frames // 15 + 10))
    heard = [decoder.push(part) for part in np.split(file.tokens.codes, cuts, axis=1)]
    heard.append(decoder.flush(file.tokens.num_samples))
    whole = file.waveform[0].numpy()
    return codes, float(np.abs(np.concatenate(heard) - whole).max())


def compute_alone(tokenizer: Tokenizer, sound: NDArray[np.float32]) -> Alone:
    tokens = tokenizer.encode(sound)
    latents = encode_latents(tokenizer, sound, torch.float32)
    margins = measure_margins(tokenizer, latents, tokens.codes)
    return Alone(sound, tokens, tokenizer.decode(tokens), margins)


def own_codec(tokenizer: Tokenizer) -> Codec:
    """The codec of a model of vqaudio: `find_model` gives no other."""
    assert isinstance(tokenizer.codec, Codec)
    return tokenizer.codec


@torch.inference_mode()
def encode_latents(
    tokenizer: Tokenizer, sound: NDArray[np.float32], precision: torch.dtype
) -> Tensor:
    """[1, S] -> [T, D], in pieces."""
    parts = []
    for piece in tokenizer._cut_samples([sound]):
        samples = torch.from_numpy(np.ascontiguousarray(piece.data))[None]
        with (
            exact_float32(CPU),
            torch.autocast("cpu", precision, enabled=precision != torch.float32),
        ):
            latents = own_codec(tokenizer).encoder(samples)[0].T.float()
        parts.append(latents[piece.skip : piece.skip + piece.keep])
    return torch.cat(parts)


@torch.inference_mode()
def measure_margins(
    tokenizer: Tokenizer, latents: Tensor, codes: NDArray[np.uint16]
) -> NDArray[np.float64]:
    """[T, D], [Q, T] -> [Q, T]: relative margins; NaN for books without centroids in this space."""
    left, margins = latents, []
    chosen = torch.from_numpy(codes.astype(np.int64))
    for book, level in zip(own_codec(tokenizer).quantizer.books, chosen, strict=True):
        centroids = getattr(book, "centroids", None)
        if centroids is None:
            margins.append(torch.full((len(latents),), torch.nan, dtype=torch.float64))
        else:
            distances = torch.cdist(left.double(), centroids.double()).square()
            best, second = distances.topk(2, largest=False).values.T
            margins.append((second - best) / best)
        left = left - book.decode(level)
    return torch.stack(margins).numpy()


def encode(
    tokenizer: Tokenizer, sounds: Sequence[NDArray[np.float32]], *, ragged: bool
) -> list[NDArray[np.uint16]]:
    """Codes [Q, T] of each sound."""
    if not ragged:
        return [tokens.codes for tokens in tokenizer.encode_batch(sounds)]
    # A tokenizer sorts pieces by length; here they come as they are.
    pieces = [list(tokenizer._cut_samples([sound])) for sound in sounds]
    codes = tokenizer._encode_pieces((piece for some in pieces for piece in some), None)
    return [np.concatenate(list(islice(codes, len(some))), axis=1) for some in pieces]


def largest_difference(tokenizer: Tokenizer, files: Sequence[Alone], *, ragged: bool) -> float:
    """Between samples decoded this way and from each file alone."""
    if not ragged:
        return max(
            float((tokenizer.decode(file.tokens) - file.waveform).abs().max()) for file in files
        )
    largest = 0.0
    for start in range(0, len(files), AT_ONCE):  # whole files, in one batch with padding
        some = files[start : start + AT_ONCE]
        codes = [torch.from_numpy(file.tokens.codes.astype(np.int64)).T for file in some]
        padded = torch.nn.utils.rnn.pad_sequence(codes, batch_first=True).transpose(1, 2)
        lengths = torch.tensor([len(one) for one in codes])
        decoded = tokenizer.codec.decode(padded, lengths)
        for file, waveform in zip(some, decoded, strict=True):
            difference = waveform[:, : file.tokens.num_samples] - file.waveform
            largest = max(largest, float(difference.abs().max()))
    return largest


def changes(files: Sequence[Alone], codes: Sequence[NDArray[np.uint16]]) -> list[Any]:
    """Cells: how many codes differ, in a million, in which level first, and by what margin."""
    total = count = 0
    levels: Counter[int] = Counter()
    margins: list[float] = []
    for file, other in zip(files, codes, strict=True):
        differs = file.tokens.codes != other
        total += differs.size
        count += int(differs.sum())
        for frame in np.flatnonzero(differs.any(axis=0)):
            level = int(differs[:, frame].argmax())
            levels[level + 1] += 1
            margins.append(float(file.margins[level, frame]))
    where = ", ".join(f"level {level}: {levels[level]}" for level in sorted(levels))
    largest = f"{max(margins):.1e}" if margins else ""
    return [count, f"{1e6 * count / total:.1f}", where, largest]


def print_margins(files: Sequence[Alone]) -> None:
    """How many codes are near ties."""
    margins = np.concatenate([file.margins for file in files], axis=1)
    rows = [
        [level or "all", *(f"{1e6 * (some < margin).mean():.1f}" for margin in MARGINS)]
        for level, some in enumerate([margins, *margins])
    ]
    print("\nCodes of a million with a margin below\n")
    print(table(["level", *(f"{margin:.0e}" for margin in MARGINS)], rows))


def print_bfloat16(tokenizer: Tokenizer, files: Sequence[Alone]) -> None:
    """What computing in bfloat16 would change, by level."""
    differs = []
    for file in files:
        latents = encode_latents(tokenizer, file.sound, torch.bfloat16)
        codes = own_codec(tokenizer).quantizer.encode(latents).T.numpy()
        differs.append(codes != file.tokens.codes)
    found = np.concatenate(differs, axis=1)
    own = found & (np.cumsum(found, axis=0) == 1)  # the first of its frame
    rows = [
        ["that differ", *(f"{1e6 * rate:.0f}" for rate in (found.mean(), *found.mean(axis=1)))],
        ["first of their frame", "", *(f"{1e6 * rate:.0f}" for rate in own.mean(axis=1))],
    ]
    print("\nEncoder in bfloat16: codes of a million\n")
    print(table(["", "all", *(f"level {level + 1}" for level in range(len(found)))], rows))


if __name__ == "__main__":
    main()
