"""Files of the hub of Hugging Face: from its local cache, else from the network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from vqaudio.errors import MissingError

PEER_PREFIX = "hf:"
"""Before the name of a codec that is none of ours: hf:facebook/encodec_24khz, or hf:FOLDER."""
TIMEOUT = 5.0
"""Seconds until the network counts as absent."""


def is_repository(name: str) -> bool:
    """Whether `name` has the form of a repository's: user/model.

    >>> [is_repository(name) for name in ("kyutai/mimi", "mimi", "./mimi", "a/b/c")]
    [True, False, False, False]
    """
    return re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name) is not None


def fetch(repository: str, files: Sequence[str]) -> list[Path]:
    """`files` of one version of `repository`, in the local cache.

    Raises MissingError when they are neither there nor to be had.
    """
    try:
        from huggingface_hub import constants, hf_hub_download
    except ImportError:
        raise MissingError(
            f"{repository} comes from the hub of Hugging Face: pip install 'vqaudio[hub]'"
        ) from None
    try:
        return [Path(hf_hub_download(repository, f, local_files_only=True)) for f in files]
    except (OSError, ValueError):  # not there; a name that the hub would not give
        pass
    # The library tries again and again where there is no network: half a minute for each file.
    if constants.HF_HUB_OFFLINE or not answers(constants.ENDPOINT):
        raise MissingError(
            f"the files of {repository} are not on this machine, in no folder of that name nor in "
            f"the cache of the hub, and {constants.ENDPOINT} cannot be reached: put them into a "
            "folder, and name that"
        )
    try:
        return [Path(hf_hub_download(repository, f, etag_timeout=TIMEOUT)) for f in files]
    except Exception as error:  # of the library that it transfers with, which changes
        raise MissingError(f"{repository} cannot be fetched: {explain(error)}") from None


def answers(address: str) -> bool:
    """Whether a server says anything at all, through the proxy of the environment if any."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    try:
        with urlopen(Request(address, method="HEAD"), timeout=TIMEOUT):
            return True
    except HTTPError as error:
        error.close()
        return True
    except (OSError, ValueError):
        return False


def explain(error: Exception) -> str:
    """What the hub answered, and what to do."""
    from huggingface_hub import errors

    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        return "its authors ask for your consent on its page"
    if isinstance(error, (errors.EntryNotFoundError, errors.RevisionNotFoundError)):
        return "the repository lacks one of the files that vqaudio needs"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "the hub has no such repository, or does not show it to you: hf auth login"
    if status == 401:
        return "the hub does not know your token: hf auth login"
    if status == 403:
        return "your token does not allow that: give one that may write there"
    return first_line(error)


def first_line(error: Exception) -> str:
    """Of what it says; libraries go on with addresses and advice."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
