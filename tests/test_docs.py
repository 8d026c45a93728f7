"""What the documentation shows runs, and its recipes are recipes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ruamel.yaml import YAML

from vqaudio.metrics import METRICS
from vqaudio.probes import TASKS
from vqaudio.recipe import parse_recipe

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [
    (path.name, language, text)
    for path in sorted((ROOT / "docs").glob("*.md"))
    for language, text in BLOCK.findall(path.read_text(encoding="utf-8"))
]


def blocks(language: str) -> list[tuple[str, str]]:
    return [(page, text) for page, kind, text in BLOCKS if kind == language]


def test_all_blocks_are_of_a_kind_that_is_tested() -> None:
    assert {language for _, language, _ in BLOCKS} <= {"bash", "yaml", "text", "python"}


class SoundCard:
    """What a page asks of `sounddevice`: a microphone that hears half a second, then Ctrl-C."""

    def __init__(self, **_: object) -> None:
        self.blocks = 25
        self.written = 0

    def __enter__(self) -> SoundCard:
        return self

    def __exit__(self, *_: object) -> None: ...

    def read(self, num_samples: int) -> tuple[np.ndarray, bool]:
        self.blocks -= 1
        if not self.blocks:
            raise KeyboardInterrupt
        return np.full((num_samples, 1), 0.1, np.float32), False

    def write(self, samples: np.ndarray) -> None:
        assert samples.dtype == np.float32
        assert samples.shape[1:] == (1,)


# That of onnx.md needs an export, and runs in test_onnx.py.
@pytest.mark.parametrize(
    ("page", "block"), [one for one in blocks("python") if one[0] != "onnx.md"]
)
def test_a_python_block_runs(page: str, block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    card = SimpleNamespace(InputStream=SoundCard, OutputStream=SoundCard)
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    exec(compile(block, page, "exec"), {})


@pytest.mark.slow
@pytest.mark.parametrize(("page", "block"), blocks("bash"))
def test_a_shell_block_runs(page: str, block: str, tmp_path: Path, speech_folder: Path) -> None:
    (tmp_path / "recordings").symlink_to(speech_folder)
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("page", "block"), blocks("yaml"))
def test_a_part_of_a_recipe_fits_into_one(page: str, block: str) -> None:
    yaml = YAML(typ="safe", pure=True)
    whole = yaml.load((ROOT / "recipes" / "tiny.yaml").read_text(encoding="utf-8"))
    parse_recipe({**whole, **yaml.load(block)}, page)


def test_the_pages_name_every_metric_and_task() -> None:
    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    for metric in METRICS.values():
        facts = (metric.label, metric.unit, metric.direction, metric.range, metric.needs)
        assert f"| `{metric.name}` | {' | '.join(facts)} |" in page
    page = (ROOT / "docs" / "probes.md").read_text(encoding="utf-8")
    assert {name for name in TASKS if f"`{name}`" not in page} == set()
