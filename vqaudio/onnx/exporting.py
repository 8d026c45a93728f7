"""A model to a folder of graphs."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from vqaudio.checkpoint import Model
from vqaudio.codec import Codec
from vqaudio.devices import find_device
from vqaudio.errors import VqaudioError
from vqaudio.files import sha256_of
from vqaudio.onnx.checking import Check, check, example_speech, recordings, refuse
from vqaudio.onnx.graphs import OPSET, check_packages, traces, with_onnx_parts, write_graph
from vqaudio.onnx.manifest import NAME, Manifest, Step
from vqaudio.onnx.runtime import OnnxTokenizer
from vqaudio.streaming import Side, decoder_side, encoder_side
from vqaudio.tokenizer import Tokenizer

PACKAGES = ("vqaudio", "torch", "onnx", "onnxscript")
"""Whose versions have a say in the graphs."""


def export_onnx(
    model: Model,
    folder: Path,
    *,
    speech: Path | None = None,
    force: bool = False,
    progress: Callable[[str], None] = lambda line: None,
) -> Check:
    """Write the graphs of `model` into `folder`, checked on the recordings below `speech`.

    Without `speech` they are checked on some in the box. `force` replaces the graphs of an earlier
    export. `progress` is told what is being done.

    Raises ModelError when the graphs do not compute what the model does, or packages are missing;
    VqaudioError when the folder exists or cannot be written; AudioError for `speech` without
    recordings. Nothing is left then.
    """
    check_packages()
    folder = Path(os.path.abspath(folder))
    if folder.exists() and not folder.is_dir():
        raise VqaudioError(f"{folder} is a file: name a folder")
    if not force and folder.exists():
        raise VqaudioError(f"{folder} exists: give another name, or --force to replace its graphs")
    tokenizer = Tokenizer(model, device=find_device("cpu"))
    rate = tokenizer.sample_rate
    sound = [example_speech(rate)] if speech is None else recordings(speech, rate)
    with _folder(folder) as temporary:
        levels = len(model.codec.codebook_sizes)
        sides = encoder_side(model.codec, levels), decoder_side(model.codec, levels)
        for name, trace in traces(with_onnx_parts(model.codec), *sides).items():
            progress(f"{name}.onnx")
            write_graph(trace, temporary / f"{name}.onnx")
        facts = _manifest(tokenizer, model.codec, *sides, folder=temporary)
        (temporary / NAME).write_text(facts.to_json(), encoding="utf-8")
        progress("check")
        found = check(tokenizer, OnnxTokenizer(temporary), sound)
        refuse(found)
    return found


def _manifest(
    tokenizer: Tokenizer, codec: Codec, encoder: Side, decoder: Side, *, folder: Path
) -> Manifest:
    return Manifest(
        fingerprint=tokenizer.fingerprint,
        sample_rate=codec.sample_rate,
        hop_length=codec.hop_length,
        codebook_sizes=codec.codebook_sizes,
        causal=codec.config.causal,
        piece_frames=tokenizer.piece_frames,
        encoder_context=(*codec.encoder_context,),
        decoder_context=(*codec.decoder_context,),
        encoder_step=_step(encoder),
        decoder_step=_step(decoder),
        opset=OPSET,
        versions={name: version(name) for name in PACKAGES},
        files={path.name: sha256_of(path) for path in sorted(folder.glob("*.onnx"))},
    )


def _step(side: Side) -> Step:
    states = tuple((state.shape[0], state.shape[1]) for state in side.blank)
    return Step(side.steps_in, side.steps_out, side.lead, side.delay, states)


@contextmanager
def _folder(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `folder`; it or its files get their names at the end."""
    temporary = folder.with_name(f".{folder.name[:40]}.{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        try:
            temporary.mkdir(parents=True)
        except OSError as error:
            raise VqaudioError(
                f"cannot write {folder}: {error.strerror}; choose a place that can be written"
            ) from error
        yield temporary
        if not folder.exists():
            temporary.rename(folder)
            return
        # Other files in the folder stay. Between graphs of two exports no hash fits: a program
        # that reads meanwhile is told so.
        for path in sorted(temporary.iterdir(), key=lambda path: path.name == NAME):
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
