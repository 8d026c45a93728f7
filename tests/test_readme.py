"""Every block of README.md does what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from sounds import SAMPLE_RATE, babble

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, speech_folder: Path) -> Path:
    """A folder as the README's reader has it: in.wav, recordings by speaker, the recipes."""
    folder = tmp_path_factory.mktemp("reader")
    soundfile.write(folder / "in.wav", babble(9, 0, seconds=2.0), SAMPLE_RATE)
    (folder / "recordings").symlink_to(speech_folder)
    (folder / "recipes").symlink_to(ROOT / "recipes")
    return folder


def blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCKS if kind == language]


def test_all_blocks_are_of_a_kind_that_is_tested() -> None:
    assert {language for language, _ in BLOCKS} <= {"bash", "python", "make", "text"}


LONG = ("vqaudio evaluate", "vqaudio train", "vqaudio export", "read_export(")
"""What takes longer than the default run allows, or reads what such a command wrote; the gate runs
these in one process, in the README's order of shell and Python blocks."""


def marked(language: str) -> list[object]:
    """The blocks of a language, the long ones marked as slow."""
    return [
        pytest.param(block, marks=[pytest.mark.slow] if any(one in block for one in LONG) else [])
        for block in blocks(language)
    ]


@pytest.mark.parametrize("block", marked("bash"))
def test_a_shell_block_runs(block: str, folder: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", marked("python"))
def test_a_python_block_runs(block: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    exec(compile(block, "README.md", "exec"), {})


def test_what_the_readme_makes_is_what_the_gate_runs() -> None:
    # These install the project, so they run in .ci/run and not inside of a test.
    commands = [line.split("#")[0].strip() for text in blocks("make") for line in text.splitlines()]
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    for command in commands:
        assert command in gate or command.startswith("make demo IN="), command
