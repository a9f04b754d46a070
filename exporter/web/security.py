"""TLS, authentication and rate limiting from a web configuration file.

The file is reloaded when it or a file that it names changes. An invalid file is logged
and changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
from collections.abc import Callable, Iterable

from exporter.config.schema import shortened
from exporter.model.config import Problem
from exporter.model.errors import ConfigError
from exporter.system.file_watch import FileContents, FileWatch
from exporter.system.read_file import MIB, read_regular
from exporter.web import web_config
from exporter.web.basic_auth import Authenticator, AuthResult, credentials
from exporter.web.messages import HttpRequest, HttpResponse, Responder, text_response
from exporter.web.tls import Tls, WebConfigFault, server_context
from exporter.web.web_config import RequestRateLimit, WebConfig

_log = logging.getLogger(__name__)

_LONGEST_BYTES = MIB
_REFUSALS = {
    AuthResult.GRANTED: None,
    AuthResult.REFUSED: text_response(
        401,
        "Unauthorized: a valid user name and password are required.\n",
        ("WWW-Authenticate", 'Basic realm="braze-exporter"'),
    ),
    AuthResult.BUSY: text_response(
        503,
        "Too many passwords are being verified. Retry in a second.\n",
        ("Retry-After", "1"),
    ),
}


class TokenBucket:
    """A token bucket: `burst` requests at once, then one per interval."""

    def __init__(self, limit: RequestRateLimit, *, now: float) -> None:
        self._limit = limit
        self._tokens = float(limit.burst)
        self._taken_at = now

    def take(self, *, now: float) -> float:
        """Take a token and return 0, or return the seconds until there is one."""
        interval_seconds, burst = self._limit.interval_seconds, self._limit.burst
        # Counted in tokens: sums of a clock and intervals are rounded, and a full
        # bucket would have none at some readings of the clock.
        gained = max(now - self._taken_at, 0.0) / interval_seconds
        tokens = min(self._tokens + gained, float(burst))
        if tokens < 1.0:
            return (1.0 - tokens) * interval_seconds
        self._tokens, self._taken_at = tokens - 1.0, now
        return 0.0


class Security:
    """The protection of the web server; without a file, plain HTTP without users."""

    def __init__(self, file: str | None = None) -> None:
        self._has_file = file is not None
        self._file = file or ""
        self._authenticator = Authenticator()
        self._bucket: TokenBucket | None = None
        self._context: ssl.SSLContext | None = None
        self._watch = FileWatch()
        self.config = WebConfig()
        """The settings in force."""

    def load(self) -> tuple[Problem, ...]:
        """Load the file and return its warnings. ConfigError: it is invalid."""
        return self._apply({}) if self._has_file else ()

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
            facts: dict[str, object] = {"file": self._file, "problem": problems}
            _log.warning("web_config.rejected", extra={"fields": facts})
            return
        for warning in warnings:
            facts = {"problem": str(warning)}
            _log.warning("config.warning", extra={"fields": facts})
        tls = self.config.tls
        facts = {
            "file": self._file,
            "tls": tls is not None,
            "client_auth": str(tls.client_auth) if tls else "",
            "users": len(self.config.users),
        }
        _log.info("web_config.loaded", extra={"fields": facts})

    def describe(self) -> str:
        """Return the protection in a few words."""
        tls, users = self.config.tls, len(self.config.users)
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
        """Return a responder with rate limiting and authentication around `respond`.

        Neither applies to a request for which `needs_no_auth` returns True.
        """

        async def respond_if_allowed(request: HttpRequest) -> HttpResponse:
            error = None if needs_no_auth(request) else await self._refusal(request)
            return self._with_headers(error or await respond(request))

        return respond_if_allowed

    def use(self, config: WebConfig, context: ssl.SSLContext | None = None) -> None:
        """Use these settings from the next request and connection on."""
        self.config, self._context, self._bucket = config, context, None
        self._authenticator.replace_users(config.users)

    async def _refusal(self, request: HttpRequest) -> HttpResponse | None:
        """Return the error response; None if the request is allowed."""
        if limit := self.config.rate_limit:
            now = asyncio.get_running_loop().time()
            self._bucket = bucket = self._bucket or TokenBucket(limit, now=now)
            if wait_seconds := bucket.take(now=now):
                retry_after = ("Retry-After", str(math.ceil(wait_seconds)))
                return text_response(429, "Too many requests.\n", retry_after)
        if not self._authenticator.is_enabled:
            return None
        given = credentials(request.headers.get("authorization", ""))
        result = await self._authenticator.authenticate(given, request.client)
        return _REFUSALS[result]

    def _with_headers(self, response: HttpResponse) -> HttpResponse:
        """Add the configured headers; they replace headers of the same name."""
        headers = self.config.headers
        names = {name.lower() for name in headers}
        kept = (pair for pair in response.headers if pair[0].lower() not in names)
        return response._replace(headers=(*kept, *headers.items()))

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
            config, warnings = web_config.parse(
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
        self.use(config, contexts[0] if contexts else None)
        return warnings

    def _refuse_emptied(self, text: str) -> None:
        """Raise ConfigError if an empty file, as after a full disk, would unprotect."""
        if web_config.is_blank(text) and self.config != WebConfig():
            raise _unusable(
                self._file, "is empty now; to serve without protection write `{}` to it"
            )


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
