"""Ctrl-C between two steps, on all processes after the same one."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

import torch

from vqaudio.quantizers.ranks import sum_over_ranks


class Interrupts:
    """The first Ctrl-C only makes a note, so that a step is never cut; the second is as usual.

    A context manager.
    """

    def __init__(self, device: torch.device, num_processes: int) -> None:
        self.device = device
        self.num_processes = num_processes
        self.noted = threading.Event()

    def __enter__(self) -> Interrupts:
        # Python allows handlers in the main thread alone.
        self.here = threading.current_thread() is threading.main_thread()
        if self.here:
            self.usual = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.here:
            signal.signal(signal.SIGINT, self.usual)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.noted.set()
        signal.signal(signal.SIGINT, self.usual)

    def stops(self, *, telling: bool) -> bool:
        """Whether the run stops after this step.

        Several processes agree about it, or one would wait for the others for ever. They do so at
        a `telling` step, which waits for the device anyway.
        """
        if self.num_processes == 1:
            return self.noted.is_set()
        if not telling:
            return False
        votes = torch.tensor(float(self.noted.is_set()), device=self.device)
        return bool(sum_over_ranks(votes) > 0)
