"""Training of a prior, from top to bottom."""

from __future__ import annotations

import hashlib
import math
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vqaudio.errors import TokensError, TrainingError
from vqaudio.prior.config import WITHOUT_EFFECT, PriorRecipe, load_prior_recipe
from vqaudio.prior.files import save_prior
from vqaudio.prior.model import Prior
from vqaudio.prior.score import PriorScore, score
from vqaudio.prior.sequences import TokenSet
from vqaudio.prior.windows import Draws, stack
from vqaudio.train.interrupts import Interrupts
from vqaudio.train.log import RunLog
from vqaudio.train.state import (
    Part,
    check_run_folder,
    claim_run_folder,
    read_state,
    restore,
    save_state,
)


def train_prior(recipe: PriorRecipe, tokens: TokenSet, run: Path, *, device: torch.device) -> Path:
    """Run `recipe` on `tokens`, or what an earlier call left of it; returns the prior's path.

    About one speaker in twenty is held out. prior.safetensors is of the newest validation,
    best.safetensors of the one with the fewest bits. Stopped at any moment, the same call goes on
    from the last checkpoint.

    Raises TrainingError, TokensError; VqaudioError when the folder cannot be written.
    """
    check_run_folder(run, recipe, load=load_prior_recipe, without_effect=WITHOUT_EFFECT)
    train, held_out = tokens.split()
    if not held_out.sequences:
        raise TokensError(
            "all tokens are of one speaker: there is nobody to validate on; export more recordings"
        )
    _check_condition(recipe, train)
    saved = read_state(run)
    torch.manual_seed(recipe.seed)
    prior = Prior(recipe.prior, tokens.codebook_sizes, speakers=train.speakers).to(device)
    optimizer = _optimizer(prior, recipe)
    progress = _Progress(train)
    parts: dict[str, Part] = {"prior": prior, "optimizer": optimizer, "progress": progress}
    first = 0 if saved is None else int(saved["next_step"])
    if saved is not None:
        restore(saved, parts, run)
    claim_run_folder(run, recipe)
    heard_out = _spread(held_out, recipe.validation_seconds)
    draws = Draws(prior, train)
    path = run / "prior.safetensors"
    bfloat16 = recipe.precision == "bfloat16" or (
        recipe.precision == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported()
    )
    last_checkpoint = time.monotonic()

    with RunLog(run, steps=recipe.steps, first=first) as log, Interrupts(device, 1) as interrupts:
        for line in _about(recipe, prior, train, held_out):
            log.say(line)
        for step in range(first, recipe.steps):
            # There is no random state to save: that of a step is made of its number.
            random = np.random.default_rng((recipe.seed, step))
            torch.manual_seed(int(random.integers(2**63)))
            windows = draws.draw(recipe.batch_size, random)
            num_codes = sum(window.codes.size for window in windows)
            for group in optimizer.param_groups:
                group["lr"] = recipe.optimizer.learning_rate * _factor(recipe, step)
            prior.train()
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                scores = prior.score(*stack(prior, windows))
            loss = (scores.bits.sum() + scores.stop_bits.sum()) / num_codes
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.clip_grad_norm_(
                prior.parameters(), recipe.optimizer.max_gradient_norm
            )
            if not norm.isfinite():
                raise TrainingError(
                    f"step {step} had no finite gradient: lower optimizer.learning_rate and start "
                    "anew in another folder"
                )
            optimizer.step()

            log.step(step, heard=num_codes / len(tokens.codebook_sizes) / tokens.frame_rate)
            if (step + 1) % recipe.log_every == 0:
                figures = {"bits_per_code": loss.detach(), "gradient_norm": norm}
                log.training(step, figures, (), skipped=0)
            finished = step + 1 == recipe.steps
            if (step + 1) % recipe.validate_every == 0 or finished:
                found = score(prior.eval(), heard_out)
                log.scalars(step, "validation", {"bitrate": found.bitrate.mean})
                log.say(f"step {step} validation: {found.lines()[1]}")
                save = partial(
                    _save, prior=prior, recipe=recipe, train=train, found=found, steps=step + 1
                )
                save(path)
                if found.bitrate.mean < progress.best:
                    progress.best = found.bitrate.mean
                    save(run / "best.safetensors")
            stopping = interrupts.stops(telling=False) and not finished
            due = time.monotonic() - last_checkpoint >= 60 * recipe.checkpoint_minutes
            if finished or due or stopping:
                last_checkpoint = time.monotonic()
                save_state(run, parts, next_step=step + 1, keep=2)
            if stopping:
                log.say(f"interrupted after step {step}: the same call goes on from {run}")
                raise KeyboardInterrupt
    return path


class _Progress:
    """What a run remembers beside its weights."""

    def __init__(self, tokens: TokenSet) -> None:
        self.best = math.inf
        """bit/s of the best validation."""
        digest = hashlib.sha256(tokens.model.encode())
        for sequence in tokens.sequences:
            digest.update(f"{sequence.name} {sequence.codes.shape}".encode())
            digest.update(sequence.codes.tobytes())
        self.tokens = digest.hexdigest()

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "tokens": self.tokens}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError where the run began on other tokens."""
        if state["tokens"] != self.tokens:
            raise ValueError("it began on other tokens")
        self.best = state["best"]


def _optimizer(prior: Prior, recipe: PriorRecipe) -> torch.optim.AdamW:
    """Weights of one dimension (norms) do not decay."""
    decaying = [parameter for parameter in prior.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in prior.parameters() if parameter.dim() <= 1]
    return torch.optim.AdamW(
        [
            {"params": decaying, "weight_decay": recipe.optimizer.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=recipe.optimizer.learning_rate,
        betas=(0.9, 0.95),
    )


def _factor(recipe: PriorRecipe, step: int) -> float:
    """Of the learning rate: linear warm-up, then a cosine to zero."""
    warmup = recipe.optimizer.warmup_steps
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(recipe.steps - warmup, 1)
    return 0.5 * (1 + math.cos(math.pi * progress))


def _check_condition(recipe: PriorRecipe, train: TokenSet) -> None:
    """Raises TokensError where no sound has what the prior is to be told."""
    condition = recipe.prior.condition
    lacks_speakers = condition == "speaker" and not train.speakers
    if lacks_speakers or (condition == "text" and not any(one.text for one in train.sequences)):
        raise TokensError(
            f"prior.condition is {condition}, and no {condition} is known of any of these tokens: "
            f"export a corpus that names its {condition}s"
        )


def _about(recipe: PriorRecipe, prior: Prior, train: TokenSet, held_out: TokenSet) -> list[str]:
    """What is trained on what, for the terminal."""
    config, window = recipe.prior, recipe.prior.context_frames / train.frame_rate
    told = "" if config.condition == "none" else f", told the {config.condition}"
    lines = [
        f"{name}: {len(some.sequences)} sounds, {some.seconds / 3600:.2f} hours, speakers: "
        f"{len(some.speakers) or 'unknown'}"
        for name, some in (("training", train), ("held out", held_out))
    ]
    return [
        *lines,
        f"prior: {prior.num_parameters / 1e6:.2f} M parameters on {prior.device}, {config.pattern} "
        f"of {len(prior.codebook_sizes)} levels{told}, windows of {window:.1f} s",
    ]


def _spread(tokens: TokenSet, seconds: float) -> TokenSet:
    """Sounds spread over `tokens`, about so many seconds in all; of a longer one its beginning."""
    most = max(round(seconds * tokens.frame_rate), 1)
    cut = [one._replace(codes=one.codes[:, :most]) for one in tokens.sequences]
    tokens = tokens._replace(sequences=cut)
    count = len(tokens.sequences)
    wanted = min(max(round(count * seconds / tokens.seconds), 1), count)
    return tokens._replace(
        sequences=[tokens.sequences[place * count // wanted] for place in range(wanted)]
    )


def _save(
    path: Path,
    *,
    prior: Prior,
    recipe: PriorRecipe,
    train: TokenSet,
    found: PriorScore,
    steps: int,
) -> None:
    card = {
        "recipe": recipe.name,
        "description": recipe.description,
        "licence": recipe.licence,
        "hours_of_speech": round(train.seconds / 3600, 2),
        "speakers": len(train.speakers),
        "steps": steps,
        "seed": recipe.seed,
        "validation": found.facts(),
    }
    save_prior(
        path,
        prior,
        model=train.model,
        sample_rate=train.sample_rate,
        hop_length=train.hop_length,
        card=card,
    )
