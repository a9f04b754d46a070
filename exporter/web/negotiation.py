"""Content negotiation: `Accept` and `Accept-Encoding` as defined by RFC 9110.

Invalid members of a header are ignored, and all after the first dozens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_OPENMETRICS = "application/openmetrics-text"
_VERSIONS = (None, "1.0.0")
_TEXT_RANGES = ("text/plain", "text/*", "*/*")
"""Ranges that match the text format, the most specific first."""
_MOST_PARTS = 32
"""Members of a header, and parameters of a member, that are read: each costs time."""
_GZIP_NAMES = ("gzip", "x-gzip", "*")


def wants_openmetrics(accept: str) -> bool:
    """Return whether OpenMetrics 1.0.0 is preferred, or equal, to the text format.

    A wildcard matches the text format only. The most specific range that matches the
    text format gives its quality (RFC 9110, section 12.5.1).
    """
    openmetrics = 0.0
    text = dict.fromkeys(_TEXT_RANGES, -1.0)
    for name, parameters, quality in _weighted(accept):
        if name == _OPENMETRICS and parameters.get("version") in _VERSIONS:
            openmetrics = max(openmetrics, quality)
        elif name in text:
            text[name] = max(text[name], quality)
    named = (quality for quality in text.values() if quality >= 0)
    return openmetrics > 0 and openmetrics >= next(named, 0.0)


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether the body may be compressed with gzip, or its alias x-gzip.

    The first of gzip, x-gzip and the wildcard that is listed applies (RFC 9110,
    8.4.1.3).
    """
    qualities = {name: quality for name, _, quality in _weighted(accept_encoding)}
    listed = (qualities[name] for name in _GZIP_NAMES if name in qualities)
    return next(listed, 0.0) > 0


def _weighted(header: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    """Yield (name, parameters, quality) of each valid member, in lower case."""
    for member in _parts(header.lower(), ","):
        name, *rest = (part.strip() for part in _parts(member, ";"))
        pairs = (part.partition("=") for part in rest)
        parameters = {key.strip(): value.strip(' "') for key, _, value in pairs}
        quality = _quality(parameters.pop("q", "1"))
        if name and quality is not None:
            yield name, parameters, quality


def _parts(text: str, separator: str) -> list[str]:
    return text.split(separator, _MOST_PARTS)[:_MOST_PARTS]


def _quality(text: str) -> float | None:
    try:
        quality = float(text)
    except ValueError:
        return None
    return quality if 0 <= quality <= 1 else None
