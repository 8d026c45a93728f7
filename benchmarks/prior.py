"""Is what a prior draws like speech? Its continuations beside the speech that really came next.

    python benchmarks/prior.py PRIOR DIR --files 20

Of recordings below DIR, which nobody trained on, the first 3 seconds are the prompt. What follows
for 4 seconds is measured four times: as it was recorded, as the tokenizer decodes it, as the prior
draws it, and drawn code by code by the table of frequencies in the box, which knows no order.
DNSMOS says how natural it sounds, the rest how speech moves: the share of voiced frames, the pitch
of these, how often voice sets in, and the spread of the level of frames of 20 ms. Means with 95 %
bootstrap intervals over recordings; the same call prints the same figures.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import vqaudio
from vqaudio.corpora.recordings import find_recordings, read_recording
from vqaudio.entropy import bundled_frequencies
from vqaudio.metrics import bootstrap_interval, dnsmos
from vqaudio.metrics.pitch import track_pitch
from vqaudio.prior import Taste, load_prior, sample
from vqaudio.tokens import Tokens

PROMPT_SECONDS = 3.0
NEXT_SECONDS = 4.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prior", type=Path)
    parser.add_argument("data", type=Path, metavar="DIR")
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--temperature", type=float, default=0.9)
    parser.add_argument("--top-p", type=float, default=0.9)
    arguments = parser.parse_args()

    file, tokenizer = load_prior(arguments.prior), vqaudio.load()
    rate = tokenizer.sample_rate
    prompt_frames, frames = (
        round(seconds * file.frame_rate) for seconds in (PROMPT_SECONDS, NEXT_SECONDS)
    )
    needed = round((PROMPT_SECONDS + NEXT_SECONDS) * rate)
    random = np.random.default_rng(0)
    found: dict[str, list[NDArray[np.float32]]] = {}
    recordings = find_recordings(arguments.data)
    long_enough = [one for one in recordings if one.utterance.seconds * rate >= needed]
    step = max(len(long_enough) // arguments.files, 1)
    for place, recording in enumerate(long_enough[::step][: arguments.files]):
        waveform = read_recording(recording, rate)[:needed]
        tokens = tokenizer.encode(waveform)
        prompt = tokens.codes[:, :prompt_frames]
        taste = Taste(arguments.temperature, arguments.top_p)
        drawn = sample(file.prior, prompt_frames + frames, prompt=prompt, taste=taste, seed=place)
        shuffled = np.concatenate([prompt, by_frequency(tokens, frames, random)], axis=1)
        for name, codes in (("decoded", tokens.codes), ("prior", drawn), ("table", shuffled)):
            sound = tokenizer.decode(with_codes(tokens, codes))[0].numpy()
            found.setdefault(name, []).append(sound[-frames * tokens.hop_length :])
        found.setdefault("recorded", []).append(waveform[-frames * tokens.hop_length :])

    print(f"{len(found['prior'])} recordings, {NEXT_SECONDS:g} s after {PROMPT_SECONDS:g} s each\n")
    print("| sound | " + " | ".join(MEASURES) + " |")
    print("|---" * (1 + len(MEASURES)) + "|")
    for name in ("recorded", "decoded", "prior", "table"):
        cells = []
        for measure in MEASURES.values():
            mean, low, high = bootstrap_interval([measure(sound, rate) for sound in found[name]])
            cells.append(f"{mean:.2f} ({low:.2f} to {high:.2f})")
        print(f"| {name} | {' | '.join(cells)} |")


def by_frequency(tokens: Tokens, frames: int, random: np.random.Generator) -> NDArray[np.uint16]:
    """Codes [Q, frames], each drawn by how often it occurs."""
    table = bundled_frequencies(model=tokens.model)
    assert table is not None, "there is no table in the box for this model"
    return np.stack(
        [
            random.choice(len(level), frames, p=level / level.sum()).astype(np.uint16)
            for level in table.counts
        ]
    )


def with_codes(tokens: Tokens, codes: NDArray[np.uint16]) -> Tokens:
    return Tokens(
        codes,
        num_samples=codes.shape[1] * tokens.hop_length,
        sample_rate=tokens.sample_rate,
        hop_length=tokens.hop_length,
        codebook_sizes=tokens.codebook_sizes,
        model=tokens.model,
    )


def voiced_share(sound: NDArray[np.float32], sample_rate: int) -> float:
    return float(track_pitch(sound, sample_rate).voiced.mean())


def median_pitch(sound: NDArray[np.float32], sample_rate: int) -> float:
    pitch = track_pitch(sound, sample_rate)
    return float(np.median(pitch.frequency[pitch.voiced])) if pitch.voiced.any() else np.nan


def voice_onsets(sound: NDArray[np.float32], sample_rate: int) -> float:
    """Per second."""
    voiced = track_pitch(sound, sample_rate).voiced
    return float((np.diff(voiced.astype(int)) == 1).sum() / (len(sound) / sample_rate))


def level_spread(sound: NDArray[np.float32], sample_rate: int) -> float:
    """Standard deviation over frames of 20 ms, in dB."""
    size = sample_rate // 50
    frames = sound[: len(sound) // size * size].reshape(-1, size)
    return float(np.std(10 * np.log10((frames**2).mean(1) + 1e-7)))


MEASURES: dict[str, Callable[[NDArray[np.float32], int], float]] = {
    "DNSMOS": dnsmos,
    "voiced, share": voiced_share,
    "pitch, Hz": median_pitch,
    "voice onsets /s": voice_onsets,
    "level spread, dB": level_spread,
}


if __name__ == "__main__":
    main()
