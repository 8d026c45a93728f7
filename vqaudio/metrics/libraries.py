"""Libraries that only one metric needs: imported when it is computed."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

from vqaudio.errors import VqaudioError


def load_library(module: str, what: str, package: str, *, extra: str = "eval") -> Any:
    """The `module` that the distribution `package` installs.

    Raises VqaudioError, which says that `what` needs it and what to type.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        # What is there and still cannot be imported lacks something of its own.
        reason = "" if not is_installed(module) else f", which cannot be imported ({error})"
        raise VqaudioError(
            f"{what} needs {package}{reason}: pip install 'vqaudio[{extra}]'."
        ) from None


def is_installed(module: str) -> bool:
    """Whether there is a `module`, without the time to import it."""
    try:
        return find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):  # no parent package; a module without a spec
        return False
