"""Ids as names of files: unique like the ids, and safe wherever the shard is unpacked."""

from __future__ import annotations

import hashlib
import re

MAX_BYTES = 200
"""Of one name, before suffixes: file systems take 255."""


def to_path(id: str) -> str:
    """An id as a relative path that leads out of no folder, and hides nothing.

    >>> to_path("anna/1.wav"), to_path("../up.wav"), to_path("/a//b.wav")
    ('anna/1.wav', '%2E./up.wav', '%2Fa/%2Fb.wav')
    """
    return _shorten(_safe(id))


def to_key(id: str) -> str:
    """As `to_path`, for WebDataset: a key ends at the first dot, and "__a__" is passed over.

    >>> to_key("anna/1.wav"), to_key("__x__/1.wav")
    ('anna/1%2Ewav', '%5F_x__/1%2Ewav')
    """
    return _shorten(re.sub(r"\.|^_(?=_)", _escape, _safe(id)))


def _safe(id: str) -> str:
    escaped = re.sub(r"[%\\\0-\x1f]", _escape, id)
    escaped = re.sub(r"(?<![^/])\.", _escape, escaped)  # a leading dot
    return re.sub(r"(?<![^/])/|/$", _escape, escaped)  # an empty part


def _shorten(path: str) -> str:
    """The end of a name that is too long is replaced by its hash."""
    parts = []
    for part in path.split("/"):
        content = part.encode()
        if len(content) > MAX_BYTES:
            digest = hashlib.sha256(content).hexdigest()[:32]
            part = f"{content[: MAX_BYTES - 40].decode(errors='ignore')}%{digest}"
        parts.append(part)
    return "/".join(parts)


def _escape(match: re.Match[str]) -> str:
    return f"%{ord(match[0]):02X}"
