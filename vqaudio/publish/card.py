"""The card of a model, as the hub shows it: what its file and an evaluation of it say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from vqaudio.checkpoint import Model
from vqaudio.describe import describe_model, to_lines
from vqaudio.errors import VqaudioError
from vqaudio.evaluate import Evaluation
from vqaudio.report.tables import markdown_table

LICENCES = (
    *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "gpl-2.0", "gpl-3.0", "lgpl-3.0"),
    *("cc0-1.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-4.0"),
)
"""By the names that the hub has for them; anything else is "other" there."""

HEAD = """\
---
license: {licence}
library_name: vqaudio
pipeline_tag: audio-to-audio
tags:
- audio
- audio-tokenizer
- neural-codec
- vector-quantization
---
# {title}

{summary}

## Use

`pip install 'vqaudio[hub]'`

```python
import vqaudio

tokenizer = vqaudio.load("{repository}")
tokens = tokenizer.encode_file("in.wav")
tokenizer.decode_file(tokens, "out.wav")
```
"""


def model_card(
    model: Model,
    repository: str,
    *,
    evaluation: Evaluation | None = None,
    licence: str | None = None,
) -> str:
    """Markdown with the YAML that the hub wants at its head.

    `licence` is one of the hub's names (None: that of the model file, if it is one of LICENCES).

    Raises VqaudioError for an evaluation of another model, or a licence that is no name.
    """
    facts = describe_model(model)
    training = facts.pop("training")
    rates = facts.pop("bitrates")
    head = HEAD.format(
        licence=_licence(licence, training),
        title=repository.rpartition("/")[2],
        summary=_summary(facts, rates, training),
        repository=repository,
    )
    sections = [head, _section("Model", _block(facts) + "\n" + _rates(rates, facts["frame_rate"]))]
    if training:
        sections.append(_section("Training", _block(training)))
    if evaluation is not None:
        sections.append(_section("Evaluation", _measured(evaluation, model.fingerprint)))
    return "\n".join(sections)


def _licence(given: str | None, training: dict[str, Any]) -> str:
    if given is not None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", given):
            raise VqaudioError(f"{given!r} is no licence of the hub: name one such as apache-2.0")
        return given
    named = str(training.get("licence", "")).strip().lower().replace(" ", "-")
    return named if named in LICENCES else "other"


def _summary(facts: dict[str, Any], rates: list[float], training: dict[str, Any]) -> str:
    about = str(training.get("description") or "").strip()
    sizes = facts["codebook_sizes"]
    return (
        (f"{about}\n\n" if about else "")
        + f"A tokenizer of vqaudio: {facts['sample_rate']} Hz mono sound to "
        + f"{facts['frame_rate']:g} frames/s of {len(sizes)} codes, {rates[0]:g} to {rates[-1]:g} "
        + "bit/s, and back."
    )


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}"


def _block(facts: dict[str, Any]) -> str:
    return "\n".join(("```text", *to_lines(facts), "```", ""))


def _rates(rates: list[float], frame_rate: float) -> str:
    lines = [
        f"| {levels} | {frame_rate * levels:g} | {rate:g} |"
        for levels, rate in enumerate(rates, start=1)
    ]
    return "\n".join(("| levels | tokens/s | bit/s |", "|---:|---:|---:|", *lines, ""))


def _measured(evaluation: Evaluation, fingerprint: str) -> str:
    other = evaluation.model.get("fingerprint")
    if other != fingerprint:
        raise VqaudioError(
            f"the evaluation is of model {other or 'none'}, this is {fingerprint}: evaluate this"
        )
    metrics = [metric.name for metric in evaluation.metrics if metric.status == "ok"]
    data = Path(evaluation.data).name  # not where it lies
    return (
        f"{evaluation.num_files} files of {data}, {evaluation.seconds:.0f} s, "
        f"{evaluation.num_speakers} speakers, {evaluation.sample_rate} Hz, {evaluation.date[:10]}; "
        "means over files with 95 % intervals.\n\n" + markdown_table(evaluation, metrics)
    )
