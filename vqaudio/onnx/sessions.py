"""onnxruntime, and what is said where it or a graph is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from vqaudio.errors import ModelError
from vqaudio.files import sha256_of
from vqaudio.onnx.manifest import Manifest

QUIET = 4
"""onnxruntime's own log: fatal errors only; what fails is raised all the same."""


class Graph:
    """One graph of an exported model, ready to run."""

    def __init__(
        self, folder: Path, name: str, manifest: Manifest, *, threads: int | None = None
    ) -> None:
        """`threads` None leaves their number to onnxruntime: one for each core.

        Raises ModelError when the graph is missing, damaged or another model's.
        """
        path = folder / f"{name}.onnx"
        self.name = name
        try:
            digest = sha256_of(path)
        except OSError:
            raise ModelError(f"{path} is missing: export the model again") from None
        if digest != manifest.files.get(path.name):
            raise ModelError(f"{path} is not the file that was exported: export the model again")
        self._session = open_session(path, threads=threads)
        self._inputs = [value.name for value in self._session.get_inputs()]

    def run(self, *inputs: NDArray[Any]) -> list[NDArray[Any]]:
        """The outputs for inputs in the order of the graph's."""
        outputs: list[NDArray[Any]] = self._session.run(
            None, dict(zip(self._inputs, inputs, strict=True))
        )
        return outputs


def open_session(path: Path, *, threads: int | None = None) -> Any:
    """A session of onnxruntime on CPU; raises ModelError where it takes no such file."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            "running an ONNX model needs onnxruntime: pip install vqaudio[onnx]"
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = QUIET
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(
            path, sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # a dozen types of onnxruntime's own, none of them public
        reason = str(error).splitlines()[0]
        raise ModelError(f"onnxruntime does not take {path} ({reason}): export it again") from error
