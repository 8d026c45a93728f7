"""The hub of Hugging Face on this machine: the few answers that an upload and a download need."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

TOKEN = "hf_of_a_test"
COMMIT = "1" * 40


class Hub(ThreadingHTTPServer):
    """`files` by user/model/name; `private` holds what was made private."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.files: dict[str, bytes] = {}
        self.private: dict[str, bool] = {}
        self.requests: list[str] = []
        self.refuse: int | None = None
        """Status of every answer to a POST."""


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.do_GET(body=False)

    def do_GET(self, *, body: bool = True) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        if self.path == "/":
            self._answer(b"", body=body)
            return
        if self.path.startswith("/api/models/"):
            repository = self.path.removeprefix("/api/models/")
            if repository not in self.server.private:
                self._refuse(401, "RepoNotFound")
                return
            facts = {"id": repository, "private": self.server.private[repository], "siblings": []}
            self._answer(json.dumps(facts).encode(), body=body)
            return
        name = self.path.partition("?")[0].lstrip("/").replace("/resolve/main/", "/")
        repository = "/".join(name.split("/")[:2])
        allowed = self.headers.get("authorization") == f"Bearer {TOKEN}"
        if repository not in self.server.private or (
            self.server.private[repository] and not allowed
        ):
            self._refuse(401, "RepoNotFound")
        elif name not in self.server.files:
            self._refuse(404, "EntryNotFound")
        else:
            self._answer(self.server.files[name], body=body)

    def do_POST(self) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.refuse is not None:
            self._refuse(self.server.refuse, "")
            return
        if self.headers.get("authorization") != f"Bearer {TOKEN}":
            self._refuse(401, "")
            return
        self._answer(json.dumps(self._take(data)).encode(), body=True)

    def _take(self, data: bytes) -> Any:
        hub = self.server
        if self.path == "/api/repos/create":
            asked = json.loads(data)
            repository = f"{asked['organization']}/{asked['name']}"
            private = asked.get("private") or asked.get("visibility") == "private"
            hub.private.setdefault(repository, bool(private))
            return {"url": f"{hub.address}/{repository}"}
        if self.path == "/api/validate-yaml":
            assert json.loads(data)["content"].startswith("---\nlicense: ")
            return {"errors": [], "warnings": []}
        _, _, _, user, model, verb, *_ = self.path.split("/")
        if verb == "preupload":
            files = json.loads(data)["files"]
            modes = {"uploadMode": "regular", "shouldIgnore": False}
            return {"files": [{"path": file["path"], **modes} for file in files]}
        assert verb == "commit"
        for line in data.decode().splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                value = entry["value"]
                hub.files[f"{user}/{model}/{value['path']}"] = base64.b64decode(value["content"])
        return {
            "commitUrl": f"{hub.address}/{user}/{model}/commit/{COMMIT}",
            "commitOid": COMMIT,
        }

    def _answer(self, data: bytes, *, body: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running_hub(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Hub]:
    """A hub that the library asks in place of the real one, with an empty cache and a token."""
    from huggingface_hub import constants

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with Hub() as server:
        template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
