"""A model file and its card to the hub of Hugging Face."""

from __future__ import annotations

import os

from vqaudio.checkpoint import MODEL_FILE, find_model_file, load_model
from vqaudio.errors import MissingError, VqaudioError
from vqaudio.evaluate import Evaluation
from vqaudio.hub import answers, explain, is_repository
from vqaudio.publish.card import model_card


def push(
    model: str | os.PathLike[str] | None,
    repository: str,
    *,
    private: bool = False,
    evaluation: Evaluation | None = None,
    licence: str | None = None,
) -> str:
    """Put a model that `vqaudio.load` finds into `repository`, user/model; returns its address.

    The repository is made where there is none, `private` or not, and gets one commit with the
    model file and README.md, in place of those that it had. The token is that of the library:
    HF_TOKEN, or what `hf auth login` left.

    Raises ModelError for no model, MissingError without the library, VqaudioError as `model_card`
    does and when the hub takes nothing.
    """
    if not is_repository(repository):
        raise VqaudioError(f"{repository!r} is no name of a repository: give user/model")
    path = find_model_file(model)
    card = model_card(load_model(path), repository, evaluation=evaluation, licence=licence)
    try:
        from huggingface_hub import CommitOperationAdd, HfApi, constants, get_token
    except ImportError:
        raise MissingError(
            "the hub of Hugging Face needs its library: pip install 'vqaudio[hub]'"
        ) from None
    if get_token() is None:
        raise VqaudioError("there is no token for the hub: hf auth login, or set HF_TOKEN")
    # The library tries again and again where there is no network.
    if constants.HF_HUB_OFFLINE or not answers(constants.ENDPOINT):
        raise VqaudioError(
            f"{constants.ENDPOINT} cannot be reached: vqaudio card writes the card without it"
        )
    api = HfApi(library_name="vqaudio")
    files = [
        CommitOperationAdd(MODEL_FILE, os.fspath(path)),
        CommitOperationAdd("README.md", card.encode()),
    ]
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        if private and not api.repo_info(repository).private:
            raise VqaudioError(
                f"{repository} is there already and public: make it private on its page, or leave "
                "--private out"
            )
        api.create_commit(repository, files, commit_message="Model and card, by vqaudio")
    except VqaudioError:
        raise
    except Exception as error:  # of the library that it transfers with, which changes
        raise VqaudioError(f"{repository} cannot be written: {explain(error)}") from None
    return f"{constants.ENDPOINT}/{repository}"
