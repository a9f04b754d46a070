"""Parameters of a query, and the errors of invalid ones."""

from __future__ import annotations

import re
from datetime import datetime, tzinfo
from urllib.parse import parse_qs

from exporter.simulator.faults import document


class ApiError(Exception):
    """A response with a status other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.response = document(status, {"message": message, "errors": [message]})


class Parameters:
    """The parameters of a query; of repeated ones the last counts."""

    def __init__(self, query: str) -> None:
        self._values = {name: values[-1] for name, values in parse_qs(query).items()}

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str, *, default: str = "") -> str:
        """Return a parameter's text."""
        return self._values.get(name, default)

    def is_true(self, name: str) -> bool:
        """Return whether a parameter is `true`; `True` and `1` are not."""
        return self.text(name) == "true"

    def integer(self, name: str, *, default: int | None = None) -> int:
        """Return a parameter's number. ApiError: it is missing or not an integer."""
        text = self.text(name, default="" if default is None else str(default))
        if not re.fullmatch(r"-?\d{1,9}", text, re.ASCII):
            raise ApiError(400, f"{name} must be an integer")
        return int(text)

    def within(self, name: str, allowed: range) -> int:
        """Return a number of a range. ApiError: it is missing or outside of it."""
        number = self.integer(name)
        if number not in allowed:
            bounds = f"{allowed[0]} to {allowed[-1]}"
            raise ApiError(400, f"{name} must be an integer from {bounds}")
        return number

    def instant(self, name: str, zone: tzinfo) -> datetime:
        """Return a parameter's time; without an offset it is in the zone.

        ApiError: it is missing or not in ISO 8601; a date alone is its midnight.
        """
        try:
            at = datetime.fromisoformat(self.text(name))
            return at if at.tzinfo else at.replace(tzinfo=zone)
        except ValueError:
            raise ApiError(400, f"{name} must be an ISO-8601 datetime") from None
