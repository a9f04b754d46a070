"""TLS, authentication and rate limiting from a web configuration file.

The file is reloaded when it or a file that it names changes. An invalid file is logged
and changes nothing.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterable

from exporter.config.schema import shortened
from exporter.model.config import Problem
from exporter.model.errors import ConfigError
from exporter.system.file_watch import FileContents, FileWatch
from exporter.system.read_file import MIB, read_regular
from exporter.web import web_config
from exporter.web.messages import HttpRequest, Responder
from exporter.web.middleware import Middleware
from exporter.web.tls import Tls, WebConfigFault, server_context
from exporter.web.web_config import WebConfig

_log = logging.getLogger(__name__)

_LONGEST_BYTES = MIB


class FileSecurity:
    """The protection that a web configuration file describes."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._middleware = Middleware()
        self._config = WebConfig()
        self._context: ssl.SSLContext | None = None
        self._watch = FileWatch()

    @property
    def config(self) -> WebConfig:
        """The settings in force."""
        return self._config

    def load(self) -> tuple[Problem, ...]:
        """Load the file and return its warnings. ConfigError: it is invalid."""
        return self._apply({})

    def refresh(self) -> None:
        """Look at the files once; apply a change that the previous look found too."""
        if not self._watch.has_changed():
            return
        contents = {path: _read(path) for path in self._watch.paths}
        if not self._watch.has_seen(contents):
            return  # written again just now: a later look finds it steady
        try:
            warnings = self._apply(contents)
        except ConfigError as error:
            problems = "; ".join(map(str, shortened(error.problems)))
            facts = {"file": self._file, "problem": problems}
            _log.warning("web_config.rejected", extra={"fields": facts})
            return
        for warning in warnings:
            facts = {"problem": str(warning)}
            _log.warning("config.warning", extra={"fields": facts})
        _log.info("web_config.loaded", extra={"fields": self._log_fields()})

    def describe(self) -> str:
        """Return the protection in a few words."""
        tls, users = self._config.tls, len(self._config.users)
        transport = "plain HTTP" if tls is None else f"TLS with {tls.client_auth}"
        if not users:
            return f"{transport}, no password"
        return f"{transport}, {users} user{'' if users == 1 else 's'}"

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return the context for new connections; None for plain HTTP."""
        return self._context

    def wrap(
        self, respond: Responder, *, needs_no_auth: Callable[[HttpRequest], bool]
    ) -> Responder:
        """Return a responder that protects `respond`."""
        return self._middleware.wrap(respond, needs_no_auth=needs_no_auth)

    def _apply(self, known: FileContents) -> tuple[Problem, ...]:
        """Parse the file and put it in force; files not in `known` are read now."""
        contents: dict[str, bytes | None] = {}
        contexts: list[ssl.SSLContext] = []

        def read(path: str) -> bytes | None:
            contents[path] = known[path] if path in known else _read(path)
            return contents[path]

        def check_tls(tls: Tls) -> Iterable[WebConfigFault]:
            made = server_context(tls)
            if not isinstance(made, ssl.SSLContext):
                return made
            contexts.append(made)
            return ()

        try:
            text = _decoded(self._file, read(self._file))
            self._refuse_emptied(text)
            parsed = web_config.parse(
                text, file=self._file, read=read, check_tls=check_tls
            )
        finally:
            # Also after an error: the same contents are not parsed again.
            self._watch = FileWatch(
                *contents,
                contents=contents,
                longest_bytes=_LONGEST_BYTES,
                reports_removal=True,
            )
        self._config = parsed.config
        self._context = contexts[0] if contexts else None
        self._middleware.apply(parsed.config)
        return parsed.warnings

    def _refuse_emptied(self, text: str) -> None:
        """Raise ConfigError if an empty file, as after a full disk, would unprotect."""
        if web_config.is_blank(text) and self._config != WebConfig():
            raise _unusable(
                self._file, "is empty now; to serve without protection write `{}` to it"
            )

    def _log_fields(self) -> dict[str, object]:
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


def _decoded(file: str, content: bytes | None) -> str:
    if content is None:
        raise _unusable(
            file,
            "cannot be read; expected a readable regular file of at most 1 MiB",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unusable(file, "is not valid UTF-8; expected YAML in UTF-8") from error


def _unusable(file: str, message: str) -> ConfigError:
    return ConfigError((Problem(file, 1, "", f"the web configuration {message}"),))
