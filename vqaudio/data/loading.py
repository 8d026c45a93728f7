"""Batches read ahead by other processes."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterable, Iterator

import torch
from torch.utils.data import DataLoader

from vqaudio.data.crops import CropBatch, Crops
from vqaudio.data.faults import UnreadableError

logger = logging.getLogger(__name__)

READ_AHEAD = 4
"""Batches per worker. A batch that falls on slow files takes several times the usual."""


def batches(crops: Crops, *, first: int, steps: int, workers: int) -> Iterator[CropBatch]:
    """The batches of the steps `first` to `steps` - 1, read ahead by `workers` processes.

    Reading starts with the call, not with the first batch asked for. Tensors lie in pinned memory
    where there is a GPU to send them to. Each unreadable file comes once, with a warning.

    Raises UnreadableError when too many files in a row cannot be read.
    """
    loader = DataLoader(
        crops,
        sampler=range(first, steps),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=READ_AHEAD if workers else None,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_settle_worker,
        # Each loader draws a number; from the global state, a resumed run would see it missing.
        generator=torch.Generator(),
    )
    return _checked(iter(loader))


def _checked(loaded: Iterable[CropBatch | UnreadableError]) -> Iterator[CropBatch]:
    """Raises the errors among the batches; of the faults, lets each pass once."""
    met: set[str] = set()
    for batch in loaded:
        if isinstance(batch, UnreadableError):
            raise batch
        # Every worker meets a file for the first time.
        new = {fault.path: fault for fault in batch.faults if fault.path not in met}
        met |= new.keys()
        for fault in new.values():
            logger.warning("left out of training: %s", fault.reason)
        yield batch._replace(faults=tuple(new.values()))  # pinning made a list of the tuple


def _settle_worker(worker: int) -> None:
    # Ctrl-C reaches all processes of a terminal, but the run ends when its step is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # libmpg123 prints a complaint for nearly every jump in an mp3, of samples that nobody hears.
    # Python's messages still come through.
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
