"""What protects the web server: a web configuration file, or nothing."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Protocol

from exporter.model.config import Problem
from exporter.web.messages import HttpRequest, Responder


class Security(Protocol):
    """What the daemon needs of the web server's protection."""

    def load(self) -> tuple[Problem, ...]:
        """Load the settings and return warnings. ConfigError: they are invalid."""

    def refresh(self) -> None:
        """Load the settings again if they have changed."""

    def describe(self) -> str:
        """Return the protection in a few words, for the output of `check`."""

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return the context for new connections; None for plain HTTP."""

    def wrap(
        self, respond: Responder, *, needs_no_auth: Callable[[HttpRequest], bool]
    ) -> Responder:
        """Return a responder that protects `respond`."""


class OpenSecurity:
    """Plain HTTP without authentication."""

    def load(self) -> tuple[Problem, ...]:
        """Return no warnings."""
        return ()

    def refresh(self) -> None:
        """Do nothing."""

    def describe(self) -> str:
        """Return the protection in a few words."""
        return "plain HTTP, no password"

    def ssl_context(self) -> None:
        """Return None: plain HTTP."""

    def wrap(
        self,
        respond: Responder,
        *,
        needs_no_auth: Callable[[HttpRequest], bool],  # noqa: ARG002 - nothing needs it
    ) -> Responder:
        """Return `respond`."""
        return respond


def security(web_config_file: str | None) -> Security:
    """Return the security of a web configuration file; open without one."""
    if web_config_file is None:
        return OpenSecurity()
    # Imported only if there is a file: it would delay every start.
    from exporter.web.file_security import FileSecurity

    return FileSecurity(web_config_file)
