"""Log formatters: one line per event, as logfmt or JSON.

Control characters are escaped, so that no value of a peer can add a line.
"""

from __future__ import annotations

import json
import logging
import math
import re
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime

_BARE = re.compile(r"[\w.:/@+,*~-]+", re.ASCII)

Fact = str | int | float | bool | None


class Logfmt(logging.Formatter):
    """`time=... level=info event=poll.failed campaign="Spring sale" reason=timeout`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        facts = _facts(record).items()
        return " ".join(f"{name}={_quote(value)}" for name, value in facts)


class Json(logging.Formatter):
    """The same fields as a JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        facts = {name: _finite(value) for name, value in _facts(record).items()}
        return json.dumps(facts, ensure_ascii=True, allow_nan=False)


def _facts(record: logging.LogRecord) -> dict[str, Fact]:
    instant = datetime.fromtimestamp(record.created, UTC)
    facts: dict[str, Fact] = {
        "time": instant.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower().removesuffix("ing"),
        "event": record.getMessage(),
    }
    given: Mapping[str, Fact] = getattr(record, "fields", {})
    facts.update((name, value) for name, value in given.items() if value is not None)
    if record.exc_info:
        facts["traceback"] = "".join(traceback.format_exception(*record.exc_info))
    return facts


def _finite(value: Fact) -> Fact:
    """Return a value of strict JSON, which has neither NaN nor infinities."""
    is_nonfinite = isinstance(value, float) and not math.isfinite(value)
    return str(value) if is_nonfinite else value


def _quote(value: Fact) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    text = str(value)
    if _BARE.fullmatch(text):
        return text
    # JSON escapes quotes, backslashes and C0. All other unprintable characters are
    # escaped as in JSON, those above U+FFFF as two surrogates.
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(
        character if character.isprintable() else json.dumps(character)[1:-1]
        for character in quoted
    )
