"""What differs between the codecs of others: one small class a kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch.nn.functional as F
from torch import Tensor

from vqaudio.errors import MissingError, ModelError
from vqaudio.hub import first_line


class Network(Protocol):
    """A model as its library has it. It is given one sound at a time, never padded to the length
    of another: that changes the codes of some."""

    label: ClassVar[str]
    """Its name among people."""
    weights: ClassVar[str]
    """The file beside config.json."""
    model: Any
    """The module."""
    sample_rate: int
    """Hz."""
    hop_length: int
    """Samples that a column of codes stands for."""
    codebook_sizes: tuple[int, ...]
    """K of each row of codes."""
    min_codebooks: int
    """The fewest rows that it encodes and decodes."""
    trained: tuple[int, ...]
    """The numbers of rows that it is meant to be used with."""

    @classmethod
    def load(cls, folder: Path) -> Network:
        """From config.json and `weights`; raises MissingError, ModelError."""
        ...

    def encode(self, waveform: Tensor, num_codebooks: int) -> Tensor:
        """[1, 1, S] -> [1, n, T]: at least so many rows, at least ceil(S / hop_length) columns."""
        ...

    def decode(self, codes: Tensor) -> Tensor:
        """[1, n, T] -> [..., S]: about T * hop_length samples."""
        ...


def load_transformers(name: str, folder: Path) -> Any:
    """The class `name` of transformers with the weights of `folder`, float32, to evaluate.

    Raises MissingError without transformers, ModelError for weights of something else.
    """
    try:
        import transformers
    except ImportError:
        raise MissingError(f"{name} needs transformers: pip install 'vqaudio[peers]'") from None
    from safetensors import SafetensorError

    kind = getattr(transformers, name)
    try:
        with _without_progress(transformers):
            model, info = kind.from_pretrained(
                folder, local_files_only=True, output_loading_info=True
            )
    except (KeyError, OSError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
        raise ModelError(f"{folder} holds no {name}: {first_line(error)}") from error
    if info["missing_keys"] or info["mismatched_keys"]:
        first = sorted(map(str, info["missing_keys"] or info["mismatched_keys"]))[0]
        raise ModelError(f"{folder} does not hold all weights of {name}: {first} is missing")
    return model.float().eval()


@contextmanager
def _without_progress(transformers: Any) -> Iterator[None]:
    """Its bar for every loading has no place beside what a command says."""
    logging = transformers.utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def whole_frames(waveform: Tensor, hop_length: int, *, at_least: int = 1) -> Tensor:
    """[1, 1, S] -> [1, 1, n * hop_length], n >= `at_least`, filled with silence at its end."""
    frames = max(-(-waveform.shape[-1] // hop_length), at_least)
    return F.pad(waveform, (0, frames * hop_length - waveform.shape[-1]))
