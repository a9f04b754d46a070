"""The web configuration in force: read at the start, and again when a file changes.

A change holds once two looks in a row saw it, so that no half-written file is believed:
half of it could be one without passwords. What cannot be used changes nothing.
"""

from __future__ import annotations

import hashlib
import logging
import ssl
from collections.abc import Callable, Iterable, Mapping

from exporter.config.schema import shortened
from exporter.model.config import Problem
from exporter.model.errors import ConfigError
from exporter.system.read_file import MIB, read_regular
from exporter.web import web_config
from exporter.web.messages import HttpRequest, Responder
from exporter.web.middleware import Middleware
from exporter.web.open_security import OpenSecurity, Security
from exporter.web.tls import server_context
from exporter.web.web_config import Tls, WebConfig, WebConfigFault

_log = logging.getLogger(__name__)

_LONGEST_BYTES = MIB

Contents = Mapping[str, bytes | None]
"""Paths, and what is there; None for what cannot be read."""


class FileSecurity:
    """What protects the web server, as a file says; without a file nothing does."""

    def __init__(self, file: str | None = None) -> None:
        self._file = file
        self._gate = Middleware()
        self._config = WebConfig()
        self._context: ssl.SSLContext | None = None
        self._settled: dict[str, bytes] = {}
        self._seen: dict[str, bytes] = {}

    @property
    def config(self) -> WebConfig:
        """What is in force."""
        return self._config

    def load(self) -> tuple[Problem, ...]:
        """Read the file and return its warnings. ConfigError: it cannot be used."""
        return () if self._file is None else self._adopt(self._file, {})

    def refresh(self) -> None:
        """Look at the files once, and adopt a change that the last look saw too."""
        contents = {path: _read(path) for path in self._settled}
        seen = _digests(contents)
        is_steady, self._seen = seen == self._seen, seen
        if self._file is None or seen == self._settled or not is_steady:
            return
        try:
            warnings = self._adopt(self._file, contents)
        except ConfigError as error:
            problems = "; ".join(map(str, shortened(error.problems)))
            facts = {"file": self._file, "problem": problems}
            _log.warning("web_config.rejected", extra={"facts": facts})
            return
        for warning in warnings:
            facts = {"problem": str(warning)}
            _log.warning("config.warning", extra={"facts": facts})
        _log.info("web_config.loaded", extra={"facts": self._facts()})

    def describe(self) -> str:
        """Return in a few words what protects."""
        tls, users = self._config.tls, len(self._config.users)
        transport = "plain HTTP" if tls is None else f"TLS with {tls.client_auth}"
        if not users:
            return f"{transport}, no password"
        return f"{transport}, {users} user{'' if users == 1 else 's'}"

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return what to speak TLS with, None for plain HTTP."""
        return self._context

    def guard(
        self, respond: Responder, *, is_open: Callable[[HttpRequest], bool]
    ) -> Responder:
        """Return a responder for everyone, of one for those who may ask."""
        return self._gate.guard(respond, is_open=is_open)

    def _adopt(self, file: str, known: Contents) -> tuple[Problem, ...]:
        """Parse the file, of `known` contents or else read now, and put it in force."""
        contents: dict[str, bytes | None] = {}
        contexts: list[ssl.SSLContext] = []

        def read(path: str) -> bytes | None:
            contents[path] = known[path] if path in known else _read(path)
            return contents[path]

        def judge(tls: Tls) -> Iterable[WebConfigFault]:
            made = server_context(tls)
            if not isinstance(made, ssl.SSLContext):
                return made
            contexts.append(made)
            return ()

        try:
            text = _text(file, read(file))
            self._refuse_to_open(file, text)
            parsed = web_config.parse(text, file=file, read=read, judge=judge)
        finally:
            # Good or bad: it is not judged again before it changes.
            self._settled = self._seen = _digests(contents)
        self._config = parsed.config
        self._context = contexts[0] if contexts else None
        self._gate.apply(parsed.config)
        return parsed.warnings

    def _refuse_to_open(self, file: str, text: str) -> None:
        """Let no file that was emptied, by a full disk perhaps, open the door."""
        if web_config.says_nothing(text) and self._config != WebConfig():
            raise _unusable(
                file, "was emptied; to serve without protection write `{}` into it"
            )

    def _facts(self) -> dict[str, object]:
        tls = self._config.tls
        return {
            "file": self._file,
            "tls": tls is not None,
            "client_auth": str(tls.client_auth) if tls else "",
            "users": len(self._config.users),
        }


def _read(path: str) -> bytes | None:
    try:
        return read_regular(path, at_most=_LONGEST_BYTES)
    except OSError:
        return None


def _digests(contents: Contents) -> dict[str, bytes]:
    """Return what tells contents apart without being a key."""
    return {
        path: b"" if content is None else hashlib.sha256(content).digest()
        for path, content in contents.items()
    }


def _text(file: str, content: bytes | None) -> str:
    if content is None:
        raise _unusable(file, "cannot be read, or is larger than 1 MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unusable(file, "is not a text in UTF-8") from error


def _unusable(file: str, message: str) -> ConfigError:
    return ConfigError((Problem(file, 1, "", f"the web configuration {message}"),))


def security(web_config_file: str | None) -> Security:
    """Return the security of a web configuration file; open without one."""
    return OpenSecurity() if web_config_file is None else FileSecurity(web_config_file)
