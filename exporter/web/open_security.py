"""Who may come in: what the daemon needs of a web server's protection.

Without a web configuration everybody may, in plain HTTP.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Protocol

from exporter.model.config import Problem
from exporter.web.messages import HttpRequest, Responder


class Security(Protocol):
    """What stands before the web server's answers."""

    def load(self) -> tuple[Problem, ...]:
        """Make ready and return warnings. ConfigError: it cannot be made ready."""

    def refresh(self) -> None:
        """Take over what has changed since."""

    def describe(self) -> str:
        """Return in a few words what protects."""

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return what to speak TLS with, None for plain HTTP."""

    def guard(
        self, respond: Responder, *, is_open: Callable[[HttpRequest], bool]
    ) -> Responder:
        """Return a responder for everyone, of one for those who may ask."""


class OpenSecurity:
    """No protection."""

    def load(self) -> tuple[Problem, ...]:
        """Find nothing wrong."""
        return ()

    def refresh(self) -> None:
        """Change nothing."""

    def describe(self) -> str:
        """Say so."""
        return "plain HTTP, no password"

    def ssl_context(self) -> None:
        """None: plain HTTP."""

    def guard(
        self,
        respond: Responder,
        *,
        is_open: Callable[[HttpRequest], bool],  # noqa: ARG002 - all is open
    ) -> Responder:
        """Return it as it is."""
        return respond
