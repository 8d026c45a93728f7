"""What keeps the package easy to find one's way in: layers, names, sizes, what is shipped."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import vqaudio

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "vqaudio").rglob("*.py"))

LAYERS = (
    ("errors",),
    ("files", "npz", "threads", "devices", "hub"),
    ("entropy",),
    ("audio", "tokens", "patterns", "pieces", "line", "layers", "metrics"),
    ("quantizers",),
    ("codec", "corpora"),
    ("discriminators", "peers"),
    ("losses",),
    ("checkpoint", "data", "streaming"),
    ("recipe",),
    ("tokenizer", "describe"),
    ("systems", "probes", "train", "huggingface", "onnx"),
    ("evaluate", "export"),
    ("prior",),
    ("report",),
    ("publish",),
    ("__init__",),
    ("cli",),
)
"""A module imports from rows above its own, and freely inside its own package."""

RANK = {name: rank for rank, row in enumerate(LAYERS) for name in row}


def part_of(name: str) -> str:
    """The file or package directly in vqaudio that "vqaudio.audio.reading" belongs to."""
    part = f"{name}.".split(".")[1]
    return part if part in RANK else "__init__"  # `from vqaudio import Tokens`


def imports(tree: ast.AST) -> Iterator[str]:
    """Dotted names that are imported when the code runs, functions included."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=orelse):
                for other in orelse:
                    yield from imports(other)
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from (f"{module}.{alias.name}" for alias in names)
            case ast.ImportFrom():
                raise AssertionError("relative imports hide the layer")
            case _:
                yield from imports(node)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path: Path) -> None:
    own = path.relative_to(ROOT / "vqaudio").with_suffix("").parts[0]
    for name in imports(ast.parse(path.read_text(encoding="utf-8"))):
        if name.split(".")[0] == "vqaudio" and part_of(name) != own:
            assert RANK[part_of(name)] < RANK[own], f"{own} imports {name}"


def test_the_public_names_are_these() -> None:
    assert vqaudio.__all__ == [
        "AudioError",
        "CorpusError",
        "MissingError",
        "ModelError",
        "RecipeError",
        "Tokenizer",
        "Tokens",
        "TokensError",
        "TrainingError",
        "VqaudioError",
        "load",
    ]
    assert all(getattr(vqaudio, name).__name__ == name for name in vqaudio.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        vqaudio.nonsense  # noqa: B018


def tracked(folder: str) -> list[str]:
    command = ["git", "ls-files", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_the_readme_names_every_module_and_no_other() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `(vqaudio/[\w./]+)` \|", readme, re.MULTILINE))
    assert {row for row in rows if not (ROOT / row).exists()} == set()
    packages = tuple(row for row in rows if row.endswith("/") and row.count("/") > 1)
    modules = [name for name in tracked("vqaudio") if name.endswith(".py")]
    assert [name for name in modules if name not in rows and not name.startswith(packages)] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_all_that_users_need_is_shipped() -> None:
    # hatchling takes what lies in the package and is not ignored by git.
    models = [
        f"vqaudio/models/{name}.{kind}"
        for name in ("speech-16k", "speech-16k-causal")
        for kind in ("safetensors", "frequencies.npz")
    ]
    shipped = ["LICENSE", "vqaudio/py.typed", *models]
    assert [name for name in shipped if not (ROOT / name).is_file()] == []
    ignored = subprocess.run(["git", "check-ignore", *shipped], cwd=ROOT, capture_output=True)
    assert ignored.stdout == b""
    assert 'packages = ["vqaudio"]' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
