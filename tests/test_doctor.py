"""The doctor: each illness is seen in a log that has it, and in no other."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from shell import done, refused

from vqaudio.recipe import Recipe, load_recipe, parse_recipe
from vqaudio.train import train
from vqaudio.train.doctor import Finding, compare, diagnose, examine, read_lines

ROOT = Path(__file__).parent.parent
STEPS = 4000
Lines = list[dict[str, Any]]
Change = Callable[[dict[str, Any], float], dict[str, Any]]
"""Of a line at some part (0 to 1) of the run."""

ADVERSARIAL = ("stages.0.loss={adversarial: 1}", "discriminators=[{kind: stft}]")


def make_recipe(*more: str) -> Recipe:
    overrides = (
        f"stages.0.steps={STEPS}",
        "codec.quantizer.num_codebooks=2",
        "data.batch_size=32",
        *more,
    )
    return load_recipe(ROOT / "recipes" / "debian-speech.yaml", overrides)


def make_log(change: Change = lambda line, part: {}, *, steps: int = STEPS) -> Lines:
    """As a run of eight levels on one core logged it, smoothed; `change` makes it ill."""
    random = np.random.default_rng(0)
    lines: Lines = []
    for step in range(49, steps, 50):
        mel, noise = 0.25 + 1.4 * math.exp(-step / 300), random.normal(0, 1, 4)
        lines.append(
            {
                "step": step,
                "kind": "train",
                "mel": mel * (1 + 0.05 * noise[0]),
                "gradient_norm": (0.3 + 3 * mel) * math.exp(0.4 * noise[1]),
                "perplexity_0": 450 + 10 * noise[2] if step > 500 else 60,
                "perplexity_1": 700 if step > 500 else 200,
                "audio_seconds_per_second": 18 + noise[3],
                "data_wait": 0.003,
                "skipped": 0,
            }
        )
        if (step + 1) % 500 == 0:
            used = {"num_tokens": 6000, "used_0": 0.79, "used_1": 0.95}
            books = {"perplexity_0": 456, "perplexity_1": 706}
            restarts = {"restarts_0": 4, "restarts_1": 30 if step > 500 else 1000}
            lines.append({"step": step, "kind": "validation", "mel": 1.1 * mel})
            lines.append({"step": step, "kind": "codebooks", **used, **books, **restarts})
    return [{**line, **change(line, line["step"] / STEPS)} for line in lines]


def only(kind: str, **figures: Any) -> Change:
    """Sets figures of the lines of a kind; a callable gets the part of the run."""

    def change(line: dict[str, Any], part: float) -> dict[str, Any]:
        if line["kind"] != kind:
            return {}
        return {name: value(part) if callable(value) else value for name, value in figures.items()}

    return change


def serious(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity != "note"]


def test_a_healthy_run_has_no_findings_at_any_moment() -> None:
    log = make_log()
    assert examine(log, make_recipe()) == []
    for length in range(1, len(log), 13):
        (finding,) = examine(log[:length], make_recipe())
        assert finding.what.endswith(f"of {STEPS}: it goes on, or was stopped")
        assert "vqaudio train" in finding.advice


ILL: dict[str, tuple[Change, tuple[str, ...], str, str]] = {
    "a few skipped": (
        only("train", skipped=lambda part: 3 if 0.5 < part < 0.52 else 0),
        (),
        "warning: 3 of 4000 steps had no finite gradient",
        "stages.0.optimizer.learning_rate and train in another folder",
    ),
    "many skipped": (
        only("train", skipped=1, gradient_norm=math.nan),
        ("precision=bfloat16",),
        "error: 80 of 4000 steps had no finite gradient",
        "or set precision to float32",
    ),
    "exploding": (
        only("train", gradient_norm=lambda part: 1 if part < 0.93 else 1e4),
        (),
        "error: the gradient explodes: its norm is 1e+04, and was 1",
        "stages.0.optimizer.learning_rate",
    ),
    "rising": (
        only("train", mel=lambda part: abs(part - 0.4) + 0.3),
        (),
        "error: the mel loss of training has risen from 0.3",
        "lower stages.0.optimizer.learning_rate",
    ),
    "stuck": (
        only("train", mel=2.0),
        (),
        "error: nothing is learnt: the mel loss was 2 and is 2",
        "stages.0.optimizer.learning_rate ten times higher",
    ),
    "collapsed": (
        only("train", perplexity_1=lambda part: 700 if part < 0.5 else 12.4),
        (),
        "error: codebook 1 collapsed: perplexity 12 of 1024 codes, for 1000 steps or more",
        "lower codec.quantizer.codebook_size",
    ),
    "collapsed without restarts": (
        only("train", perplexity_0=3, perplexity_1=2),
        ("codec.quantizer.restart_below=0",),
        "error: codebook 0, 1 collapsed: perplexity 3, 2 of 1024",
        "codec.quantizer.restart_below to 0.1",
    ),
    "never started": (
        only("train", perplexity_1=0.0),
        (),
        "error: codebook 1 never started",
        "codec.quantizer.num_codebooks",
    ),
    "dead": (
        only("codebooks", perplexity_1=1.0, used_1=1 / 1024),
        (),
        "error: codebook 1 is dead",
        "codec.quantizer.num_codebooks",
    ),
    "unused": (
        only("codebooks", used_0=0.2),
        (),
        "warning: codebook 0 uses 20% of the codes that 6000 held-out tokens could",
        "codec.quantizer.codebook_size",
    ),
    "restless": (
        only("codebooks", restarts_1=2500),
        (),
        "warning: codebook 1 does not settle: 5.0 codes restart every step",
        "data.batch_size",
    ),
    "few vectors": (
        lambda line, part: {},
        ("data.batch_size=4",),
        "note: a step has 200 vectors for 1024 codes",
        "data.batch_size",
    ),
    "idle discriminators": (
        only("train", discriminator=1.99, adversarial=0.0),
        ADVERSARIAL,
        "warning: the discriminators tell nothing apart: their loss stays at 1.99",
        "stages.0.discriminator_optimizer.learning_rate",
    ),
    "winning discriminators": (
        only("train", discriminator=0.05, adversarial=lambda part: 1 + part),
        ADVERSARIAL,
        "warning: the discriminators win: their loss is 0.05",
        "stages.0.discriminator_optimizer.every",
    ),
    "overfitting": (
        only("validation", mel=lambda part: 0.4 + abs(part - 0.5)),
        (),
        "warning: validation gets worse while training improves: mel 0.40",
        "best.safetensors",
    ),
    "starving": (
        only("train", data_wait=0.4),
        (),
        "warning: training waits for data 40% of the time",
        "data.workers (now 1;",
    ),
    "starving without workers": (
        only("train", data_wait=0.4),
        ("data.workers=0",),
        "warning: training waits for data 40% of the time",
        "data.workers (now 0; a stopped run may go on with more): reading ahead helps",
    ),
    "slower": (
        only("train", audio_seconds_per_second=lambda part: 18 if part < 0.7 else 4),
        (),
        "warning: training has become slower: 18 seconds of sound a second, now 4",
        "other programs",
    ),
    "still improving": (
        only("validation", mel=lambda part: 2 - part),
        (),
        "note: validation improved by 20% in the last quarter",
        "stages.0.steps",
    ),
}


@pytest.mark.parametrize("name", ILL)
def test_an_illness_is_seen_and_no_other(name: str) -> None:
    change, overrides, what, advice = ILL[name]
    (finding,) = examine(make_log(change), make_recipe(*overrides))
    assert f"{finding.severity}: {finding.what}".startswith(what)
    assert advice in finding.advice


def test_errors_come_first() -> None:
    ill = make_log(only("train", data_wait=0.4, perplexity_0=3))
    findings = examine(ill, make_recipe("data.batch_size=4"))
    assert [finding.severity for finding in findings] == ["error", "warning", "note"]


def test_discriminators_that_do_their_work_are_left_alone() -> None:
    for discriminator, adversarial in ((1.2, lambda part: 0.3), (0.05, lambda part: 2 - part)):
        change = only("train", discriminator=discriminator, adversarial=adversarial)
        assert examine(make_log(change), make_recipe(*ADVERSARIAL)) == []


def test_a_stage_is_not_measured_by_the_one_before() -> None:
    """The second one has another loss, other gradients, and is slower."""
    figures = {"gradient_norm": 50.0, "mel": 0.6, "audio_seconds_per_second": 4}
    recipe = make_recipe()
    values = recipe.model_dump(mode="json")
    first = values["stages"][0]
    values["stages"] = [{**first, "steps": STEPS // 2}, {**first, "steps": STEPS // 2}]
    two = parse_recipe(values, "two stages")

    def change(line: dict[str, Any], part: float) -> dict[str, Any]:
        return figures if part >= 0.5 and line["kind"] == "train" else {}

    assert len(serious(examine(make_log(change), recipe))) == 3
    assert examine(make_log(change), two) == []


def test_without_speech_to_validate_on_the_end_is_between_two_lines() -> None:
    log = [line for line in make_log() if line["kind"] == "train"]
    assert examine(log, make_recipe(f"stages.0.steps={STEPS + 49}")) == []
    (finding,) = examine(log, make_recipe(f"stages.0.steps={STEPS + 50}"))
    assert finding.what == "the run is at step 4000 of 4050: it goes on, or was stopped"


# The reference curve


def test_a_run_is_compared_at_its_last_validation() -> None:
    log = make_log(steps=2000)
    curve = [{"step": step, "mel": 1.0 - step / 4000} for step in (999, 2999)]
    mel = [line["mel"] for line in log if line["kind"] == "validation"][-1]
    (finding,) = compare(log, curve)
    assert finding.severity == "note"
    expected = 1.0 - 1999 / 4000
    assert finding.what == (
        f"validation mel {mel:.4f} at step 1999, {expected:.4f} in the reference run: "
        f"{1 - mel / expected:.1%} better"
    )
    (finding,) = compare(log, [{**line, "mel": line["mel"] / 3} for line in curve])
    assert finding.severity == "warning"
    assert finding.what.endswith("% worse")
    assert compare(log, curve[:1]) == []  # the reference was shorter
    assert compare(log, log)[0].what.endswith(f"{mel:.4f} in the reference run: 0.0% better")
    assert compare(log[:3], log) == []  # nothing validated yet


# Run folders


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a healthy run, relative to the working folder."""
    monkeypatch.chdir(tmp_path)
    write_run(Path("run"), make_log())
    return Path("run")


def write_run(run: Path, log: Lines) -> None:
    run.mkdir(exist_ok=True)
    (run / "recipe.yaml").write_text(json.dumps(make_recipe().model_dump(mode="json")))
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))


def test_the_command_says_what_is_wrong(run: Path) -> None:
    mel = make_log()[-2]["mel"]
    assert done("doctor", run).lines == [
        f"step 4000 of 4000, validation mel {mel:.4f}",
        "healthy: nothing is wrong with this run",
    ]
    write_run(run, make_log(only("train", data_wait=0.4)))
    assert done("doctor", run).lines[1:] == [
        "warning: training waits for data 40% of the time",
        "    raise data.workers (now 1; a stopped run may go on with more): recordings of the "
        "codec's sample rate in wav or flac helps",
    ]
    facts = json.loads(done("doctor", run, "--json").out)
    assert facts["healthy"] is False
    assert facts["step"] == facts["steps"] == 4000
    assert [finding["severity"] for finding in facts["findings"]] == ["warning"]


def test_a_reference_curve_is_given_or_found(run: Path) -> None:
    curve = Path("curve.jsonl")
    curve.write_text("".join(f'{{"step": {step}, "mel": 0.1}}\n' for step in (0, 3999)))
    worse = "0.1000 in the reference run"
    assert worse in done("doctor", run, "--reference", curve).out.decode()
    assert worse not in done("doctor", run).out.decode()
    Path("recipes").mkdir()
    curve.rename("recipes/debian-speech.curve.jsonl")
    assert worse in done("doctor", run).out.decode()
    assert refused("doctor", run, "--reference", "no.jsonl").startswith("cannot read no.jsonl")


def test_logs_that_cannot_be_read(run: Path) -> None:
    log = run / "log.jsonl"
    whole = log.read_text()
    log.write_text(whole + '{"step": 4049, "ki')  # torn by a power cut
    assert "healthy" in done("doctor", run).out.decode()
    for text, message in {
        "": "run/log.jsonl holds no line yet",
        '{"step": 4': "run/log.jsonl holds no line yet",
        '{"step": 4\n' + whole: "run/log.jsonl is damaged: line 1 is no line of a log",
        "[]\n" + whole: "run/log.jsonl is damaged: line 1 is no line of a log",
    }.items():
        log.write_text(text)
        assert refused("doctor", run).startswith(message)
    log.write_bytes(b"\xff\xfe")
    assert refused("doctor", run) == "run/log.jsonl is damaged: it is not text"
    log.unlink()
    assert refused("doctor", run).startswith("cannot read run/log.jsonl: No such file")
    log.write_text(whole)
    (run / "recipe.yaml").unlink()
    assert "recipe.yaml" in refused("doctor", run)


def test_a_real_run_gives_no_false_alarm(speech_folder: Path, tmp_path: Path) -> None:
    overrides = [f"data.corpora.0.root={speech_folder}", "codec.quantizer.num_codebooks=2"]
    recipe = load_recipe(ROOT / "recipes" / "tiny.yaml", [*overrides, "log_every=1"])
    train(recipe, tmp_path / "run", device=torch.device("cpu"))
    log = read_lines(tmp_path / "run" / "log.jsonl")
    # How long reading takes depends on who else uses the machine.
    quiet = [{**line, "data_wait": 0.0, "audio_seconds_per_second": 9.0} for line in log]
    assert serious(examine(quiet, recipe)) == []
    assert diagnose(tmp_path / "run", None).step == 80
