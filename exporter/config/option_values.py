"""Parsers of option values: a `Field` becomes a value within the option's bounds.

A parser raises `ValueError` with what was expected; it adds warnings to the field.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import PurePath
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from exporter.braze import hosts
from exporter.config import units
from exporter.config.reader import Field, values
from exporter.model.labels import LONGEST, clean

_DAY = 86400.0
LABEL_SOURCES = ("tags", "channels")
"""The values of `discover.labels`."""
_RESERVED_LABELS = {"workspace", "job", "instance"}
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_DASHBOARD_ID = re.compile(r"[0-9a-f]{24}", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CAPITALS = re.compile(r"[A-Z_][A-Z0-9_]*")
# Braze's keys are UUIDs; also matches a key whose ends are cut off.
_KEY = re.compile(r"[0-9a-f-]{20}", re.IGNORECASE)
_BEARER = re.compile(r"\s*bearer\s", re.IGNORECASE)
_NO_PLACES = ("Factory", "localtime", "posixrules", "posix/", "right/")
"""Files of the time zone database that are not the time of a place."""
_TRUE = {"true", "yes", "on"}


def name(field: Field, *, taken: dict[str, Field]) -> str:
    """Return a label value that is not in `taken`, and add it there."""
    return _unique(field, _label_value(field), taken)


def object_id(field: Field, *, kind: str, taken: dict[str, Field]) -> str:
    """Return an object's API identifier that is not in `taken`, and add it there."""
    text = _label_value(field)
    wanted = f"the {kind}'s API identifier, such as {field.option.example}"
    if _DASHBOARD_ID.fullmatch(text):
        field.warn(
            "24 hexadecimal digits are the id in the dashboard's address, which the"
            f" REST API does not accept; expected {wanted}"
        )
    elif not _UUID.fullmatch(text):
        field.warn(f"this is not a UUID; expected {wanted}")
    # The case of a UUID's digits does not count (RFC 9562, section 4).
    _unique(field, text.lower() if _UUID.fullmatch(text) else text, taken)
    return text


def _unique(field: Field, text: str, taken: dict[str, Field]) -> str:
    first = taken.setdefault(text, field)
    if first is not field:
        place = f"{first.path} (line {first.node.line})"
        message = f"same value as {place}; expected a unique one"
        raise ValueError(message)
    return text


def label(field: Field, *, name: str, kind: str) -> str:
    """Return the value of the configured label `name`."""
    _check_label_name(name, kind)
    if field.scalar("text", "str") == "":
        message = "Prometheus drops a label with an empty value; expected text"
        raise ValueError(message)
    return _label_value(field)


def discovered_label(field: Field, *, name: str, kind: str) -> str:
    """Return the source of the label `name`: `tags` or `channels`."""
    _check_label_name(name, kind)
    source = field.text()
    if source not in LABEL_SOURCES:
        message = f"expected one of {', '.join(LABEL_SOURCES)}"
        raise ValueError(message)
    return source


def _check_label_name(name: str, kind: str) -> None:
    reserved = {*_RESERVED_LABELS, kind, f"{kind}_id"}
    if name in reserved or name.startswith("__"):
        message = "this label name is reserved; expected a different one"
        raise ValueError(message)
    if not _LABEL_NAME.fullmatch(name):
        message = (
            "invalid label name; expected letters, digits and underscores,"
            " and no digit at the beginning"
        )
        raise ValueError(message)


def _label_value(field: Field) -> str:
    text = field.text()
    if len(text) > LONGEST:
        message = f"expected at most {LONGEST} characters, found {len(text)}"
        raise ValueError(message)
    if clean(text) != text:
        message = "expected text without control characters"
        raise ValueError(message)
    return text


def key_variable(field: Field) -> str:
    """Return the name of an environment variable."""
    name = field.plain_text()
    _reject_key(name, "the name of an environment variable")
    if not _VARIABLE.fullmatch(name):
        message = "expected the name of an environment variable, such as BRAZE_API_KEY"
        raise ValueError(message)
    return name


def key_path(field: Field) -> str:
    """Return the path of a key file, relative or absolute."""
    path = field.plain_text()
    # Directories are not checked: Kubernetes names those of volumes by UUIDs.
    _reject_key(
        path if _BEARER.match(path) else PurePath(path).name, "the path of a file"
    )
    return path


def _reject_key(text: str, expected: str) -> None:
    if _BEARER.match(text) or _KEY.search(text):
        message = f"this looks like an API key; expected {expected} that contains it"
        raise ValueError(message)


def is_plain_variable(name: str) -> bool:
    """Return whether a message may quote the name: only capitals cannot be a key."""
    return _CAPITALS.fullmatch(name) is not None


def check_key(field: Field, key: str) -> None:
    """Add an error or warning for a key that Braze will reject; never quotes it."""
    text = key.strip()
    if not text:
        field.error("the API key is empty")
    elif not (key.isascii() and key.isprintable()) or " " in key:
        field.error(
            "the API key contains a space, a line break or another character"
            " that is not allowed in an HTTP header"
        )
    elif key[0] in "\"'" or key[-1] in "\"'":
        field.warn(
            "the API key begins or ends with a quote, which Braze rejects with 401;"
            " remove the quote"
        )


def endpoint(field: Field, *, allow_http: bool) -> str:
    """Return scheme, host and port; warns of a host that Braze does not list."""
    url = hosts.rest_endpoint(field.plain_text(), allow_http=allow_http)
    if hosts.is_unlisted(url):
        field.warn(
            "this host is not in Braze's list of REST hosts; a wrong host rejects the"
            " API key with 401"
        )
    return url


def proxy(field: Field) -> str:
    """Return the URL of a proxy, with a scheme."""
    return hosts.proxy_url(field.plain_text())


def timezone(field: Field) -> ZoneInfo:
    """Return the zone of an IANA name."""
    try:
        if (zone := field.text()).startswith(_NO_PLACES):
            raise ValueError(zone)
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        message = "unknown time zone; expected an IANA name such as America/New_York"
        raise ValueError(message) from error


def boolean(field: Field) -> bool:
    """Return a boolean of YAML 1.1, which includes yes, no, on and off."""
    return field.scalar("true or false without quotes", "bool").lower() in _TRUE


def duration(field: Field) -> float:
    """Return seconds."""
    return _within(field, field.quantity("a duration", units.duration_seconds))


def number(field: Field) -> float:
    """Return a decimal number."""
    return _within(field, field.amount(units.number))


def integer(field: Field) -> int:
    """Return a whole number."""
    return int(_within(field, field.amount(units.whole_number)))


def percentage(field: Field) -> float:
    """Return a fraction of 1."""
    return _within(field, field.quantity("a percentage", units.fraction))


def size(field: Field) -> int:
    """Return bytes."""
    return int(_within(field, field.quantity("a size", units.size_bytes)))


def _within(field: Field, value: float) -> float:
    if not field.option.allows(value):
        message = f"expected a value from {field.option.bounds}"
        raise ValueError(message)
    return value


def windows(field: Field) -> tuple[int, ...]:
    """Return windows in days, ascending."""
    taken: dict[str, Field] = {}
    items = field.items("a list such as [7d, 28d]")
    return tuple(sorted(values(items, partial(_window, taken=taken))))


def _window(field: Field, *, taken: dict[str, Field]) -> int:
    days, rest = divmod(duration(field), _DAY)
    if rest:
        message = "expected whole days, such as 7d"
        raise ValueError(message)
    _unique(field, f"{days}", taken)
    return int(days)


def tags(field: Field) -> tuple[str, ...]:
    """Return tags in Braze's spelling: any text that is not blank."""
    return values(field.items("a list of tags"), Field.text)


def name_patterns(field: Field) -> tuple[str, ...]:
    """Return patterns of names, which may contain line breaks."""
    return values(field.items("a list of patterns"), Field.text)


def patterns(field: Field) -> tuple[str, ...]:
    """Return patterns of a single line."""
    return values(field.items("a list of patterns"), Field.plain_text)
