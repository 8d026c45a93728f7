"""The commands of `vqaudio`."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import tempfile
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vqaudio.cli.entropy import (
    CoderOption,
    FileCoderOption,
    count,
    find_coder,
    measured,
    refuse_coder,
)
from vqaudio.cli.evaluate import compare, evaluate, usage
from vqaudio.cli.export import detokenize_export, export, verify
from vqaudio.cli.hub import card, push
from vqaudio.cli.huggingface import bpe, text_tokenizer
from vqaudio.cli.jobs import STDIO, Job, note, plan_jobs, report, run_jobs, say
from vqaudio.cli.live import detokenize_live, is_live, tokenize_live
from vqaudio.cli.onnx import Runtime, RuntimeOption, export_onnx, load_for, load_live, load_torch
from vqaudio.cli.options import Device, DeviceOption, ForceOption, LevelsOption, ModelOption
from vqaudio.cli.prior import prior
from vqaudio.cli.probe import probe
from vqaudio.errors import VqaudioError

if TYPE_CHECKING:
    from vqaudio.onnx.runtime import OnnxTokenizer
    from vqaudio.tokenizer import Tokenizer
    from vqaudio.tokens import Tokens

app = typer.Typer(
    help="Discrete tokens for speech and audio: tokenize, detokenize, train.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class TokenFormat(str, Enum):
    """File formats of tokens."""

    npz = "npz"
    json = "json"
    vqa = "vqa"
    vqs = "vqs"


def main() -> None:
    """Run the command line; an expected error is one sentence and exit code 1.

    Typer gives 2 for wrong usage, 130 for Ctrl-C, and says nothing when a pipe is closed.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the name of a file need not be text
    try:
        app()
    except VqaudioError as error:
        report(error)
        sys.exit(1)
    except OSError as error:  # not of a file, which is a VqaudioError: of standard output
        report(VqaudioError(f"cannot go on: {error}"))
        sys.stdout = None  # else Python tries once more to empty it, and complains in its words
        sys.exit(1)


@app.command()
def tokenize(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="IN...", help="Sound files, folders, or - for stdin.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="File for one input, else folder.")
    ] = None,
    model: ModelOption = None,
    levels: LevelsOption = None,
    format_: Annotated[
        TokenFormat | None,
        typer.Option("--format", help="Of the token files; npz without it, from - to - vqs."),
    ] = None,
    coder: CoderOption = None,
    runtime: RuntimeOption = Runtime.torch,
    device: DeviceOption = Device.auto,
    force: ForceOption = False,
) -> None:
    """Turn sound files into token files, in.wav into in.npz beside it."""
    from vqaudio.audio import find_audio
    from vqaudio.tokens import FORMATS

    if inputs == [STDIO] and out in (None, STDIO) and format_ in (None, TokenFormat.vqs):
        refuse_coder(coder, [Job(STDIO, STDIO)], ".vqs")
        note(tokenize_live(load_live(runtime, model, device), levels))
        return
    suffix = f".{(format_ or TokenFormat.npz).value}"
    other_suffixes = {*FORMATS} - {suffix}
    if format_ and out and out.suffix.lower() in other_suffixes and not os.path.isdir(out):
        raise typer.BadParameter(f"--out {out} does not fit --format {format_.value}")
    jobs = plan_jobs(inputs, out, suffix=suffix, suffixes=tuple(FORMATS), find=find_audio)
    refuse_coder(coder, jobs, suffix)
    tokenizer = load_for(runtime, model, device)
    chosen = find_coder(coder, tokenizer.fingerprint)

    def work(job: Job) -> str:
        tokens = _encode(tokenizer, job.source, levels)
        if job.target == STDIO:
            data = tokens.to_bytes(suffix, coder=chosen)
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            size = len(data)
        else:
            tokens.save(job.target, coder=chosen)
            size = job.target.stat().st_size
        real = measured(tokens, job, suffix, size)
        return f"{job.source} -> {job.target}: {_summary(tokens)}{real}{_conversion(tokens)}"

    run_jobs(jobs, work, force=force, verb="tokenize")


@app.command()
def detokenize(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="TOKENS...", help="Token files, folders, exports, or - for stdin."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help=".wav, .flac or .ogg file for one input, else folder."),
    ] = None,
    model: ModelOption = None,
    coder: FileCoderOption = None,
    runtime: RuntimeOption = Runtime.torch,
    device: DeviceOption = Device.auto,
    force: ForceOption = False,
) -> None:
    """Turn token files back into sound files, in.npz into in.wav beside it."""
    from vqaudio.audio import WRITE_FORMATS
    from vqaudio.export import holds_rows
    from vqaudio.tokens import Tokens, find_token_files

    if holds_rows(inputs[0]):
        detokenize_export(inputs, out, model=model, device=device, force=force)
        return
    if inputs == [STDIO] and out in (None, STDIO) and is_live():
        note(detokenize_live(load_live(runtime, model, device)))
        return
    jobs = plan_jobs(
        inputs, out, suffix=".wav", suffixes=tuple(WRITE_FORMATS), find=find_token_files
    )
    tokenizer = load_for(runtime, model, device)
    chosen = find_coder(coder, tokenizer.fingerprint)

    def work(job: Job) -> str:
        if job.source == STDIO:
            data = sys.stdin.buffer.read()
            tokens = Tokens.from_bytes(data, "standard input", coder=chosen)
        else:
            tokens = Tokens.load(job.source, coder=chosen)
        _decode(tokenizer, tokens, job.target)
        return f"{job.source} -> {job.target}: {_sound_summary(tokens)}"

    run_jobs(jobs, work, force=force, verb="detokenize")


@app.command()
def reconstruct(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Sound file.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help=".wav, .flac or .ogg file.")],
    model: ModelOption = None,
    levels: LevelsOption = None,
    device: DeviceOption = Device.auto,
    force: ForceOption = False,
) -> None:
    """Tokenize and detokenize in one go, to hear what the tokens keep."""
    from vqaudio.audio import WRITE_FORMATS, find_audio

    jobs = plan_jobs(
        [source], target, suffix=".wav", suffixes=tuple(WRITE_FORMATS), find=find_audio
    )
    tokenizer = load_torch(model, device)

    def work(job: Job) -> str:
        tokens = _encode(tokenizer, job.source, levels)
        _decode(tokenizer, tokens, job.target)
        return f"{job.source} -> {job.target}: {_summary(tokens)}{_conversion(tokens)}"

    run_jobs(jobs, work, force=force, verb="reconstruct")


@app.command()
def describe(
    target: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL | TOKENS]", help="The bundled model without it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a model or a token file is: rates, levels, sizes, latency, origin."""
    from vqaudio.describe import describe_model, describe_token_file, to_lines
    from vqaudio.tokens import FORMATS

    if target is not None and Path(target).suffix.lower() in FORMATS:
        facts = describe_token_file(Path(target))
    else:
        facts = describe_model(load_torch(target, Device.cpu))
    say(json.dumps(facts, indent=2) if as_json else "\n".join(to_lines(facts)))


def _list(wanted: bool) -> None:
    """What there is to download, a corpus a line."""
    if not wanted:
        return
    from vqaudio.corpora import CORPORA

    for name, corpus in CORPORA.items():
        say(f"{name:18}{corpus.ABOUT.summary}")
    raise typer.Exit


@app.command()
def download(
    name: Annotated[
        str, typer.Argument(metavar="CORPUS", help="By its name in recipes: librispeech, ...")
    ],
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="Folder for the corpus.")],
    splits: Annotated[
        list[str] | None, typer.Option("--split", help="All without it, if that is not too much.")
    ] = None,
    _: Annotated[
        bool,
        typer.Option(
            "--list", help="Say which corpora there are, and stop.", callback=_list, is_eager=True
        ),
    ] = False,
) -> None:
    """Fetch a corpus; the same command again goes on with a transfer that was stopped."""
    from vqaudio.corpora import CORPORA

    if name not in CORPORA:
        raise typer.BadParameter(f"no corpus {name!r}: choose from {', '.join(CORPORA)}")
    corpus = CORPORA[name]
    corpus.download(root, splits or ())
    say(f"{name}: {', '.join(splits or corpus.SPLITS)} in {root}")


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="YAML file.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Run folder; runs/NAME without it.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="key.path=value, in place of the recipe's.")
    ] = None,
    device: DeviceOption = Device.auto,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be trained, and stop.")
    ] = False,
) -> None:
    """Train a tokenizer; the same command again goes on with a run that was stopped."""
    from vqaudio.recipe import load_recipe

    resolved = load_recipe(recipe, overrides or [])
    if dry_run:
        from vqaudio.train.plan import plan

        say("\n".join(plan(resolved).lines()))
        return
    from vqaudio.devices import find_device
    from vqaudio.train import train as run

    run_folder = out or Path("runs") / resolved.name
    say(str(run(resolved, run_folder, device=find_device(device.value))))


@app.command()
def doctor(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            help="Curve to compare with; recipes/NAME.curve.jsonl without it, where that is.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is wrong with a run, and what to do about it."""
    from vqaudio.train.doctor import diagnose

    diagnosis = diagnose(run, reference)
    say(json.dumps(diagnosis.facts(), indent=2) if as_json else "\n".join(diagnosis.lines()))


for command in (
    evaluate,
    compare,
    usage,
    count,
    probe,
    export,
    verify,
    export_onnx,
    text_tokenizer,
    bpe,
):
    app.command()(command)
app.command()(push)
app.command()(card)

app.add_typer(prior, name="prior")


@app.command()
def demo(
    source: Annotated[
        Path | None,
        typer.Argument(metavar="[IN]", help="Sound file; a bundled example without it."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.")] = Path("demo"),
    model: ModelOption = None,
    force: ForceOption = False,
) -> None:
    """Tokenize and reconstruct speech, and say how alike the two are."""
    from vqaudio.cli.demo import run_demo

    say("\n".join(run_demo(load_torch(model, Device.auto), source, out, force=force)))


def _encode(tokenizer: Tokenizer | OnnxTokenizer, source: Path, levels: int | None) -> Tokens:
    sound = sys.stdin.buffer if source == STDIO else source
    return tokenizer.encode_file(sound, num_codebooks=levels)


def _decode(tokenizer: Tokenizer | OnnxTokenizer, tokens: Tokens, target: Path) -> None:
    if target != STDIO:
        tokenizer.decode_file(tokens, target)
        return
    # A wav header comes first and says how long the sound is: it is written when that is known.
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "out.wav"
        tokenizer.decode_file(tokens, wav)
        with wav.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def _summary(tokens: Tokens) -> str:
    return (
        f"{tokens.num_codebooks} x {tokens.num_frames} codes, {tokens.seconds:.2f} s, "
        f"{tokens.bitrate:.0f} bit/s"
    )


def _conversion(tokens: Tokens) -> str:
    """What happened to the sound on its way to the model, if anything did."""
    source = tokens.source
    if source is None or (source.sample_rate, source.num_channels) == (tokens.sample_rate, 1):
        return ""
    channels = "mono" if source.num_channels == 1 else f"{source.num_channels} channels"
    return f" (from {source.sample_rate} Hz {channels} to {tokens.sample_rate} Hz mono)"


def _sound_summary(tokens: Tokens) -> str:
    from vqaudio.tokens import Source

    source = tokens.source or Source(tokens.sample_rate, tokens.num_samples)
    return f"{source.num_samples} samples at {source.sample_rate} Hz"
