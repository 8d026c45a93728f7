"""Models on the hub of Hugging Face, which is a small server on this machine here."""

from __future__ import annotations

import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hub import TOKEN, Hub, running_hub
from shell import done, refused
from sounds import babble

import vqaudio
from vqaudio import hub as hub_module
from vqaudio.checkpoint import load_model, save_model
from vqaudio.codec import Codec, CodecConfig, FramesConfig, QuantizerConfig
from vqaudio.errors import MissingError, ModelError, VqaudioError
from vqaudio.hub import answers
from vqaudio.publish import model_card, push

pytest.importorskip("huggingface_hub", reason="needs vqaudio[hub]")

CARD = {"recipe": "tiny", "description": "Two | books.", "licence": "CC0-1.0", "steps": 8}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with running_hub(monkeypatch, tmp_path / "cache") as server:
        yield server


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = CodecConfig(
        sample_rate=2000,
        backbone=FramesConfig(
            hop_length=40, window_length=80, width=16, encoder_blocks=2, decoder_blocks=2
        ),
        quantizer=QuantizerConfig(num_codebooks=2, codebook_size=16, dim=8),
    )
    save_model(tmp_path / "run" / "model.safetensors", Codec(config), CARD)
    return tmp_path / "run"


def test_what_was_pushed_is_loaded(hub: Hub, run_folder: Path) -> None:
    assert push(run_folder, "me/tiny") == f"{hub.address}/me/tiny"
    own = vqaudio.load(run_folder, device="cpu")
    loaded = vqaudio.load("me/tiny", device="cpu")
    assert loaded.fingerprint == own.fingerprint
    waveform = babble(0, 0, seconds=0.5)
    assert loaded.encode(waveform, 16_000) == own.encode(waveform, 16_000)
    assert hub.private == {"me/tiny": False}
    assert hub.files["me/tiny/README.md"].decode() == model_card(
        load_model(run_folder / "model.safetensors"), "me/tiny"
    )
    asked = len(hub.requests)
    assert vqaudio.load("me/tiny").fingerprint == own.fingerprint
    assert len(hub.requests) == asked  # what is in the cache is not asked for


def test_a_private_model_is_seen_with_its_token_alone(
    hub: Hub, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = done("push", run_folder, "me/secret", "--private").lines
    assert said == [f"{run_folder} -> {hub.address}/me/secret"]
    assert hub.private == {"me/secret": True}
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")
    with pytest.raises(MissingError, match="no such repository, or does not show it to you"):
        vqaudio.load("me/secret")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert "frame rate" in done("describe", "me/secret").out.decode()


def test_what_is_public_is_not_made_private_in_silence(hub: Hub, run_folder: Path) -> None:
    done("push", run_folder, "me/tiny")
    files = dict(hub.files)
    assert "me/tiny is there already and public" in refused(
        "push", run_folder, "me/tiny", "--private"
    )
    assert hub.files == files


def test_codecs_of_others_come_from_the_hub(hub: Hub, peer_folder: Callable[[str], Path]) -> None:
    pytest.importorskip("transformers")
    for kind, weights in (("dac", "model.safetensors"), ("snac", "pytorch_model.bin")):
        hub.private[f"others/{kind}"] = False
        for name in ("config.json", weights):
            hub.files[f"others/{kind}/{name}"] = (peer_folder(kind) / name).read_bytes()
        from_folder = vqaudio.load(f"hf:{peer_folder(kind)}")
        assert vqaudio.load(f"hf:others/{kind}").fingerprint == from_folder.fingerprint
    hub.private["others/empty"] = False
    with pytest.raises(MissingError, match="lacks one of the files that vqaudio needs"):
        vqaudio.load("hf:others/empty")


def test_what_is_here_goes_before_the_hub(
    hub: Hub, run_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run_folder, "me/tiny")
    assert vqaudio.load("me/tiny").fingerprint == vqaudio.load(run_folder).fingerprint
    vqaudio.load("speech-16k")
    with pytest.raises(ModelError, match="there is no model 'speech-17k': choose a bundled one"):
        vqaudio.load("speech-17k")
    with pytest.raises(ModelError, match=r"no model at me/other\.safetensors"):
        vqaudio.load("me/other.safetensors")
    with pytest.raises(ModelError, match="there is no model 'me/nothing'"):
        vqaudio.load("me/nothing")  # of a folder that is here
    assert hub.requests == []
    with pytest.raises(MissingError, match="you/nothing cannot be fetched: the hub has no such"):
        vqaudio.load("you/nothing")


def test_a_hub_out_of_reach_is_one_sentence(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with running_hub(monkeypatch, tmp_path / "cache"):
        pass  # it is gone again, and its address is left
    started = time.perf_counter()
    sentence = refused("describe", "me/tiny")
    assert "the files of me/tiny are not on this machine" in sentence
    assert "cannot be reached: put them into a folder" in sentence
    assert "cannot be reached: vqaudio card writes" in refused("push", run_folder, "me/tiny")
    assert time.perf_counter() - started < 10


def test_what_the_hub_refuses_is_one_sentence(
    hub: Hub, run_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for status, reason in (
        (401, "the hub does not know your token: hf auth login"),
        (403, "your token does not allow that"),
        (400, "me/tiny cannot be written: "),
    ):
        hub.refuse = status
        assert reason in refused("push", run_folder, "me/tiny")
    assert "is no name of a repository: give user/model" in refused("push", run_folder, "tiny")
    assert "is a codec of others" in refused("push", "hf:kyutai/mimi", "me/mimi")
    assert "there is no model 'tiny'" in refused("push", "tiny", "me/tiny")
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(VqaudioError, match="there is no token for the hub: hf auth login"):
        push(run_folder, "me/tiny")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for attempt in (lambda: push(run_folder, "me/tiny"), lambda: vqaudio.load("me/tiny")):
        with pytest.raises(MissingError, match=r"pip install 'vqaudio\[hub\]'"):
            attempt()


def test_a_silent_server_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "TIMEOUT", 0.2)
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes calls, and says nothing
        assert not answers(f"http://127.0.0.1:{server.getsockname()[1]}")


def test_the_card_says_what_the_file_says(run_folder: Path) -> None:
    card = done("card", run_folder, "me/tiny").out.decode()
    model = load_model(run_folder / "model.safetensors")
    assert card == model_card(model, "me/tiny")
    head, _, body = card.removeprefix("---\n").partition("---\n")
    assert "license: cc0-1.0\nlibrary_name: vqaudio\npipeline_tag: audio-to-audio\n" in head
    assert body.startswith("# tiny\n\nTwo | books.\n\n")
    assert 'vqaudio.load("me/tiny")' in body
    for line in ("| 1 | 50 | 200 |", "| 2 | 100 | 400 |", "recipe       tiny", model.fingerprint):
        assert line in body
    assert "license: mit\n" in done("card", run_folder, "me/tiny", "--licence", "mit").out.decode()
    assert "is no licence of the hub" in refused("card", run_folder, "me/x", "--licence", "My own")
    assert "license: other\n" in model_card(model._replace(card={}), "me/tiny")


def test_the_card_has_the_figures_of_an_evaluation(run_folder: Path, tmp_path: Path) -> None:
    from evaluations import evaluation

    found = evaluation()
    model = load_model(run_folder / "model.safetensors")
    of_this = found.model_copy(update={"model": {"fingerprint": model.fingerprint}})
    (tmp_path / "report.json").write_text(of_this.model_dump_json())
    (tmp_path / "other.json").write_text(found.model_dump_json())
    option = ("--evaluation", tmp_path / "report.json")
    card = done("card", run_folder, "me/tiny", *option).out.decode()
    assert "30 files of dev-clean" in card
    assert "| system | kbit/s | STOI" in card
    option = ("--evaluation", tmp_path / "other.json")
    assert f"this is {model.fingerprint}: evaluate this" in refused(
        "card", run_folder, "me/tiny", *option
    )
    option = ("--evaluation", tmp_path / "none.json")
    assert "cannot read" in refused("card", run_folder, "me/tiny", *option)
