"""What can be wrong with a run: one function per illness."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from vqaudio.train.case import LAST, RECENT, Case, Finding, figures, trend_of
from vqaudio.train.objective import ON_SOUND
from vqaudio.train.plan import plan

STARVING = 0.05
"""Share of waiting for data above which more workers are worth their while."""

ANEW = " and train in another folder, from the start or with this run's best.safetensors as init"
"""A run's learning rate is its own for good."""


# Gradients and losses


def _skipped_steps(case: Case) -> Iterator[Finding]:
    if not case.skipped:
        return
    share = case.skipped / case.steps
    precision = "" if case.recipe.precision == "float32" else ", or set precision to float32"
    yield Finding(
        "error" if share > 0.01 else "warning",
        f"{case.skipped:.0f} of {case.steps} steps had no finite gradient and were skipped",
        f"lower {case.key}.optimizer.learning_rate{precision}{ANEW}",
    )


def _exploding_gradient(case: Case) -> Iterator[Finding]:
    trend = trend_of(case.training, "gradient_norm", LAST)
    if trend and trend.now > 10 * trend.before:
        yield Finding(
            "error",
            f"the gradient explodes: its norm is {trend.now:.3g}, and was {trend.before:.3g}",
            f"lower {case.key}.optimizer.learning_rate{ANEW}",
        )


def _loss(case: Case) -> Iterator[Finding]:
    """A rate too high makes a loss rise; one too low leaves it where it was."""
    loss = case.stage.config.loss
    name = next(name for name in ON_SOUND if getattr(loss, name) > 0)
    values = figures(case.training, name)
    if len(values) < 2 * RECENT or name == "adversarial":  # that one has no floor
        return
    middles = [median(values[at : at + LAST]) for at in range(len(values) - LAST + 1)]
    best, now, first = min(middles), middles[-1], middles[0]
    key = f"{case.key}.optimizer.learning_rate"
    if now > 1.5 * best:
        yield Finding(
            "error",
            f"the {name} loss of training has risen from {best:.3g} to {now:.3g}",
            f"lower {key}{ANEW}",
        )
    elif case.place == 0 and case.recipe.init is None and now > 0.95 * first:
        yield Finding(
            "error",
            f"nothing is learnt: the {name} loss was {first:.3g} and is {now:.3g}",
            f"try {key} ten times higher; if that changes nothing, listen to the recordings",
        )


def _discriminators(case: Case) -> Iterator[Finding]:
    loss = case.stage.config.loss
    judged = figures(case.training, "discriminator")[-RECENT:]
    if not loss.judged or len(judged) < RECENT:
        return
    key = f"{case.key}.discriminator_optimizer"
    now = median(judged)
    if now > 1.9:  # 2 is what scores of zero give
        yield Finding(
            "warning",
            f"the discriminators tell nothing apart: their loss stays at {now:.2f}",
            f"raise {key}.learning_rate, or give the discriminators more channels",
        )
    trend = trend_of(case.training, "adversarial")
    if now < 0.2 and trend and trend.now > trend.before:
        yield Finding(
            "warning",
            f"the discriminators win: their loss is {now:.2f}, and the adversarial loss rises "
            f"({trend.before:.2f}, now {trend.now:.2f})",
            f"lower {key}.learning_rate, or raise {key}.every",
        )


def _overfitting(case: Case) -> Iterator[Finding]:
    """Held-out speech fares worse than it did, and what is trained on does not."""
    points = [line for line in case.validation if math.isfinite(line.get("mel", math.nan))]
    if len(points) < 4:
        return
    best, last = min(points, key=lambda line: line["mel"]), points[-1]
    after = [line for line in case.training if line["step"] > best["step"]]
    before = [line for line in case.training if line["step"] <= best["step"]]
    past, now = (figures(part, "mel")[-RECENT:] for part in (before, after))
    if last["mel"] < 1.02 * best["mel"] or len(past) < LAST or len(now) < LAST:
        return
    if median(now) < median(past):
        yield Finding(
            "warning",
            f"validation gets worse while training improves: mel {best['mel']:.4f} at step "
            f"{best['step']}, {last['mel']:.4f} at step {last['step']}",
            "take best.safetensors; for another run more speech, fewer steps, or augmentation "
            "(data.noise, data.room, data.gain_db)",
        )


# Codebooks


def _few_vectors(case: Case) -> Iterator[Finding]:
    learns = any(stage.trains == "codec" for stage in case.recipe.stages)
    if case.recipe.codec.quantizer.codebook == "fsq" or not learns:  # nothing there to average
        return
    warning = plan(case.recipe).warning
    if warning:  # no more than a note: what comes of it is seen in the codebooks themselves
        what, _, advice = warning.removesuffix(".").partition(": ")
        yield Finding("note", f"{what[0].lower()}{what[1:]}", advice)


def _collapsed(case: Case) -> Iterator[Finding]:
    """As the run's own alarm: a perplexity under the floor for too many steps in a row."""
    collapse, quantizer = case.recipe.collapse, case.recipe.codec.quantizer
    floor = collapse.below * quantizer.codebook_size
    names: dict[str, float] = {}
    for level in range(quantizer.num_codebooks):
        steps = [(line["step"], line.get(f"perplexity_{level}", math.nan)) for line in case.books]
        healthy = [step for step, perplexity in steps if not 0 < perplexity < floor]
        since = max(healthy, default=-1)
        if steps and steps[-1][0] - since >= collapse.steps:
            names[str(level)] = steps[-1][1]
    if names:
        restarts = (
            "set codec.quantizer.restart_below to 0.1"
            if quantizer.restart_below == 0
            else "lower codec.quantizer.codebook_size, or raise data.batch_size"
        )
        yield Finding(
            "error",
            f"codebook {', '.join(names)} collapsed: perplexity "
            f"{', '.join(f'{value:.0f}' for value in names.values())} of {quantizer.codebook_size} "
            f"codes, for {collapse.steps} steps or more",
            f"{restarts}, and train anew",
        )


def _unstarted(case: Case) -> list[int]:
    """Levels that no step of a line has used."""
    if not case.books:
        return []
    return [
        level
        for level in range(case.recipe.codec.quantizer.num_codebooks)
        if not any(line.get(f"perplexity_{level}", math.nan) for line in case.books)
    ]


def _never_started(case: Case) -> Iterator[Finding]:
    levels = _unstarted(case)
    if levels and case.steps >= min(case.recipe.steps, case.recipe.collapse.steps):
        yield Finding(
            "error",
            f"codebook {', '.join(map(str, levels))} never started",
            "level k starts 20 k steps after the first: train for more steps, or lower "
            "codec.quantizer.num_codebooks",
        )


def _unused(case: Case) -> Iterator[Finding]:
    """What held-out speech makes of the codebooks. Before a book may count as collapsed it is too
    early to say."""
    if not case.held_out_books or case.steps <= case.recipe.collapse.steps:
        return
    line, size = case.held_out_books[-1], case.recipe.codec.quantizer.codebook_size
    unstarted = _unstarted(case)
    levels = [n for n in range(case.recipe.codec.quantizer.num_codebooks) if n not in unstarted]
    dead = [str(level) for level in levels if line.get(f"perplexity_{level}", math.nan) <= 1]
    if dead:
        yield Finding(
            "error",
            f"codebook {', '.join(dead)} is dead: all held-out speech has one code there",
            "use fewer levels (codec.quantizer.num_codebooks), or train longer",
        )
    # So many codes would occur if all were as likely.
    possible = 1 - math.exp(-line["num_tokens"] / size)
    used = {str(level): line.get(f"used_{level}", math.nan) / possible for level in levels}
    low = {level: share for level, share in used.items() if share < 0.5 and level not in dead}
    if low:
        yield Finding(
            "warning",
            f"codebook {', '.join(low)} uses {', '.join(f'{share:.0%}' for share in low.values())} "
            f"of the codes that {line['num_tokens']:.0f} held-out tokens could",
            "lower codec.quantizer.codebook_size, or train longer: levels settle one after another",
        )


def _restless(case: Case) -> Iterator[Finding]:
    """Restarts are for the start of a run."""
    if len(case.held_out_books) < 3 or case.steps <= case.recipe.collapse.steps:
        return
    before, line = case.held_out_books[-2:]
    size, steps = case.recipe.codec.quantizer.codebook_size, line["step"] - before["step"]
    levels = range(case.recipe.codec.quantizer.num_codebooks)
    restarts = {str(level): line.get(f"restarts_{level}", 0) / max(steps, 1) for level in levels}
    high = {level: rate for level, rate in restarts.items() if 1000 * rate > 2 * size}
    if high:
        yield Finding(
            "warning",
            f"codebook {', '.join(high)} does not settle: "
            f"{', '.join(f'{rate:.1f}' for rate in high.values())} codes restart every step",
            "give a step more vectors (data.batch_size, data.crop_seconds), or lower "
            "codec.quantizer.codebook_size",
        )


# Speed and progress


def _starving(case: Case) -> Iterator[Finding]:
    waits = figures(case.training[1:], "data_wait")[-RECENT:]  # the first waits for the start
    workers = case.recipe.data.workers
    if len(waits) >= LAST and median(waits) > STARVING:
        more = (
            "recordings of the codec's sample rate in wav or flac" if workers else "reading ahead"
        )
        yield Finding(
            "warning",
            f"training waits for data {median(waits):.0%} of the time",
            f"raise data.workers (now {workers}; a stopped run may go on with more): {more} helps",
        )


def _slower(case: Case) -> Iterator[Finding]:
    trend = trend_of(case.training, "audio_seconds_per_second")
    if trend and trend.now < 0.6 * trend.before:
        yield Finding(
            "warning",
            f"training has become slower: {trend.before:.3g} seconds of sound a second, now "
            f"{trend.now:.3g}",
            "look for other programs on the machine, and for heat",
        )


def _unfinished(case: Case) -> Iterator[Finding]:
    recipe = case.recipe
    # The last step is validated; without speech to validate on, the log may end a little before.
    end = recipe.steps if case.validated else recipe.steps - recipe.steps % recipe.log_every
    if case.steps < end:
        yield Finding(
            "note",
            f"the run is at step {case.steps} of {recipe.steps}: it goes on, or was stopped",
            "if stopped, the same `vqaudio train` call goes on from its last checkpoint",
        )


def _still_improving(case: Case) -> Iterator[Finding]:
    points = figures(case.validation, "mel")
    quarter = len(points) // 4
    if case.steps < case.recipe.steps or not quarter:
        return
    gain = 1 - points[-1] / points[-1 - quarter]
    if gain > 0.05:
        yield Finding(
            "note",
            f"validation improved by {gain:.0%} in the last quarter of the stage",
            f"more steps would help: {case.key}.steps",
        )


CHECKS = (
    _skipped_steps,
    _exploding_gradient,
    _loss,
    _collapsed,
    _never_started,
    _unused,
    _restless,
    _few_vectors,
    _discriminators,
    _overfitting,
    _starving,
    _slower,
    _unfinished,
    _still_improving,
)
