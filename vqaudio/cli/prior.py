"""The commands of language models over tokens: prior train, prior score, prior sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vqaudio.cli.jobs import refuse_to_overwrite, say
from vqaudio.cli.options import Device, DeviceOption, ForceOption, ModelOption
from vqaudio.errors import TokensError, VqaudioError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vqaudio.tokenizer import Tokenizer

prior = typer.Typer(
    help="Language models over tokens: train, score, sample.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

TokensArgument = Annotated[
    Path, typer.Argument(metavar="TOKENS", help="Export, or folder of token files.")
]
PriorArgument = Annotated[
    Path, typer.Argument(metavar="PRIOR", help="Prior file, or run folder of `prior train`.")
]


@prior.command()
def train(
    tokens: TokensArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Run folder.")],
    recipe: Annotated[
        Path | None, typer.Option("--recipe", help="YAML file; the defaults without it.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="key.path=value, in place of the recipe's.")
    ] = None,
    device: DeviceOption = Device.auto,
) -> None:
    """Train a prior; the same command again goes on with a run that was stopped."""
    from vqaudio.devices import find_device
    from vqaudio.prior import load_prior_recipe, read_token_set, train_prior

    resolved = load_prior_recipe(recipe, overrides or [])
    found = read_token_set(tokens, resolved.prior.levels)
    say(str(train_prior(resolved, found, out, device=find_device(device.value))))


@prior.command()
def score(
    prior: PriorArgument,
    tokens: TokensArgument,
    held_out: Annotated[
        bool,
        typer.Option("--held-out", help="Only the speakers that training holds out of TOKENS."),
    ] = False,
    table: Annotated[
        Path | None,
        typer.Option("--table", help="Of vqaudio count, to compare with; else that in the box."),
    ] = None,
    device: DeviceOption = Device.auto,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say how many bits speech takes: by the prior, by counts of codes, and stored plainly."""
    from vqaudio.devices import find_device
    from vqaudio.entropy import Frequencies, bundled_frequencies
    from vqaudio.prior import check_tokens, compare, load_prior, read_token_set

    file = load_prior(prior)
    found = read_token_set(tokens, len(file.prior.codebook_sizes))
    check_tokens(file, found)
    if held_out:
        found = found.split()[1]
    if not found.sequences:
        raise TokensError(f"{tokens} holds a single speaker: nobody is held out")
    file.prior.to(find_device(device.value))
    frequencies = Frequencies.load(table) if table else bundled_frequencies(model=found.model)
    result = compare(file.prior, found, frequencies)
    say(json.dumps(result.facts(), indent=2) if as_json else "\n".join(result.lines()))


@prior.command()
def sample(
    prior: PriorArgument,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Sound (.wav, .flac, .ogg) or token file.")
    ],
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.02, max=3600, help="In all, with the prompt.")
    ] = 10.0,
    prompt: Annotated[
        Path | None, typer.Option("--prompt", help="Sound or token file to go on with.")
    ] = None,
    prompt_seconds: Annotated[
        float | None,
        typer.Option("--prompt-seconds", min=0.02, help="Of the prompt; all without it."),
    ] = None,
    speaker: Annotated[
        str | None, typer.Option("--speaker", help="One that the prior was trained with.")
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", help="For a prior that was trained with texts.")
    ] = None,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0.01, help="Below 1 likely codes are likelier.")
    ] = 1.0,
    top_p: Annotated[
        float,
        typer.Option(
            "--top-p", min=0.01, max=1, help="Draw from the likeliest codes of this probability."
        ),
    ] = 0.95,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Stop earlier, where the prior ends the sound.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another one, another sound.")] = 0,
    model: ModelOption = None,
    device: DeviceOption = Device.auto,
    force: ForceOption = False,
) -> None:
    """Draw new speech, or go on with a recording."""
    from vqaudio.audio import WRITE_FORMATS
    from vqaudio.tokens import FORMATS, Tokens

    refuse_to_overwrite(out, force=force)
    if out.suffix.lower() not in (suffixes := (*WRITE_FORMATS, *FORMATS)):
        raise typer.BadParameter(f"OUT must end in {' or '.join(suffixes)}, not {out}")
    from vqaudio.prior import Taste, load_prior
    from vqaudio.prior import sample as draw
    from vqaudio.tokenizer import load

    file = load_prior(prior)
    tokenizer = load(model, device=device.value)
    if tokenizer.fingerprint != file.model:
        raise VqaudioError(
            f"the prior draws tokens of model {file.model}, and this is {tokenizer.fingerprint}: "
            "give the model with --model"
        )
    num_frames = max(round(seconds * file.frame_rate), 1)
    begin = None if prompt is None else _prompt(tokenizer, prompt, len(file.prior.codebook_sizes))
    if begin is not None and prompt_seconds is not None:
        begin = begin[:, : max(round(prompt_seconds * file.frame_rate), 1)]
    if begin is not None and begin.shape[1] >= num_frames:
        raise VqaudioError(
            f"the prompt lasts {begin.shape[1] / file.frame_rate:.2f} s, and {seconds:.2f} s are "
            "wanted in all: give more --seconds, or fewer --prompt-seconds"
        )
    file.prior.to(tokenizer.device)
    codes = draw(
        file.prior,
        num_frames,
        prompt=begin,
        speaker=speaker,
        text=text,
        taste=Taste(temperature, top_p),
        until_end=until_end,
        seed=seed,
    )
    drawn = Tokens(
        codes,
        num_samples=codes.shape[1] * file.hop_length,
        sample_rate=file.sample_rate,
        hop_length=file.hop_length,
        codebook_sizes=file.prior.codebook_sizes,
        model=file.model,
    )
    if out.suffix.lower() in FORMATS:
        drawn.save(out)
    else:
        tokenizer.decode_file(drawn, out)
    began = "" if begin is None else f", {begin.shape[1] / file.frame_rate:.2f} s of it the prompt"
    say(f"{prior} -> {out}: {drawn.seconds:.2f} s{began}")


def _prompt(tokenizer: Tokenizer, path: Path, num_codebooks: int) -> NDArray[np.uint16]:
    from vqaudio.tokens import FORMATS, Tokens

    if path.suffix.lower() in FORMATS:
        tokens = Tokens.load(path)
        tokenizer.check_model(tokens)
        return tokens.first(num_codebooks).codes
    return tokenizer.encode_file(path, num_codebooks=num_codebooks).codes
