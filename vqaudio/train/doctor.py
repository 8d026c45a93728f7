"""What is wrong with a run, and what to do about it: its log, read for you."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vqaudio.errors import TrainingError
from vqaudio.recipe import Recipe, load_recipe
from vqaudio.train.case import Finding, Line, case_of, of_kind
from vqaudio.train.symptoms import CHECKS


class Diagnosis(NamedTuple):
    """How a run stands."""

    step: int
    """Steps that its log tells of."""
    steps: int
    """Those that its recipe asks for."""
    mel: float | None
    """Of the last validation, if there was one."""
    findings: list[Finding]

    @property
    def healthy(self) -> bool:
        """Whether nothing is to be done about it."""
        return all(finding.severity == "note" for finding in self.findings)

    def facts(self) -> dict[str, Any]:
        """All of it, as plain values."""
        findings = [finding._asdict() for finding in self.findings]
        return {**self._asdict(), "healthy": self.healthy, "findings": findings}

    def lines(self) -> list[str]:
        """The same as text."""
        validation = "" if self.mel is None else f", validation mel {self.mel:.4f}"
        lines = [f"step {self.step} of {self.steps}{validation}"]
        for finding in self.findings:
            lines += [f"{finding.severity}: {finding.what}", f"    {finding.advice}"]
        return [*lines, "healthy: nothing is wrong with this run"] if self.healthy else lines


def diagnose(run: Path, reference: Path | None) -> Diagnosis:
    """Read what `run` has logged so far, and compare it with a reference curve.

    Without `reference`, with that of the recipe's name in the folder `recipes`, if there is one.

    Raises TrainingError when there is no log to be read, RecipeError when there is no recipe.
    """
    lines = read_lines(run / "log.jsonl")
    recipe = load_recipe(run / "recipe.yaml")
    shipped = Path("recipes") / f"{recipe.name}.curve.jsonl"
    if reference is None and shipped.exists():
        reference = shipped
    findings = examine(lines, recipe)
    if reference is not None:
        findings += compare(lines, read_lines(reference))
    validation = of_kind(lines, "validation")
    mel = validation[-1].get("mel") if validation else None
    return Diagnosis(max(line["step"] for line in lines) + 1, recipe.steps, mel, findings)


def read_lines(path: Path) -> list[Line]:
    """The lines of a log or of a reference curve; a last one that is torn is left out.

    Raises TrainingError when there are none, or when one is no line of a log.
    """
    try:
        texts = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise TrainingError(f"cannot read {path}: {error.strerror}; give a run's folder") from None
    except UnicodeDecodeError:
        raise TrainingError(f"{path} is damaged: it is not text") from None
    lines: list[Line] = []
    for number, text in enumerate(texts, start=1):
        try:
            line = json.loads(text)
            lines.append({**line, "step": int(line["step"])})
        except (ValueError, KeyError, TypeError):
            if number == len(texts):  # cut by a power failure, or being written just now
                break
            raise TrainingError(
                f"{path} is damaged: line {number} is no line of a log; take it out"
            ) from None
    if not lines:
        raise TrainingError(
            f"{path} holds no line yet: the first comes after log_every steps, look again later"
        )
    return lines


def examine(lines: Sequence[Line], recipe: Recipe) -> list[Finding]:
    """All that is to be said of a run of `recipe`, errors first; there is a line at least."""
    case = case_of(lines, recipe)
    findings = [finding for check in CHECKS for finding in check(case)]
    order = ("error", "warning", "note")
    return sorted(findings, key=lambda finding: order.index(finding.severity))


def compare(lines: Sequence[Line], reference: Sequence[Line]) -> list[Finding]:
    """How the last validation is beside the reference run at the same step.

    `reference`: lines with "step" and "mel", such as those of kind "validation" in a log.
    """
    curve = sorted((line["step"], line["mel"]) for line in reference if "mel" in line)
    found = [line for line in of_kind(lines, "validation") if "mel" in line]
    if not curve or not found:
        return []
    step, mel = found[-1]["step"], found[-1]["mel"]
    if not curve[0][0] <= step <= curve[-1][0]:
        return []
    expected = _at(curve, step)
    change = mel / expected - 1
    what = f"validation mel {mel:.4f} at step {step}, {expected:.4f} in the reference run"
    if change > 0.1:
        advice = "see what this recipe changes, and whether the corpus is the same and complete"
        return [Finding("warning", f"{what}: {change:.0%} worse", advice)]
    judgement = "worse" if change > 0 else "better"
    return [Finding("note", f"{what}: {abs(change):.1%} {judgement}", "as it should be")]


def _at(curve: Sequence[tuple[int, float]], step: int) -> float:
    """The curve's value at `step`, on straight lines between its points."""
    before = max(point for point in curve if point[0] <= step)
    after = min(point for point in curve if point[0] >= step)
    part = (step - before[0]) / max(after[0] - before[0], 1)
    return before[1] + part * (after[1] - before[1])
