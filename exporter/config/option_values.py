"""What the value of each option may be: one reading for each, with its bounds.

A reading gives the value or raises `ValueError` with what was expected; a doubt that
stops nothing it notes itself. It knows nothing of sections and defaults.
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

_MILLISECOND, _SECOND, _MINUTE, _DAY = 0.001, 1.0, 60.0, 86400.0
LABEL_SOURCES = ("tags", "channels")
"""What discovery can fill a label with."""
_RESERVED_LABELS = {"workspace", "campaign", "campaign_id", "job", "instance"}
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_DASHBOARD_ID = re.compile(r"[0-9a-f]{24}", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CAPITALS = re.compile(r"[A-Z_][A-Z0-9_]*")
# A key, even if its ends are missing: Braze's are UUIDs.
_KEY = re.compile(r"[0-9a-f-]{20}", re.IGNORECASE)
_BEARER = re.compile(r"\s*bearer\s", re.IGNORECASE)
_TRUE = {"true", "yes", "on"}


def name(field: Field, *, taken: dict[str, Field]) -> str:
    """Return a name for a label, which no other of `taken` has."""
    return _unique(field, _label_text(field), taken)


def campaign_id(field: Field, *, taken: dict[str, Field]) -> str:
    """Return an identifier, which no other of `taken` has; doubt all but UUIDs."""
    text = _label_text(field)
    wanted = "the Campaign API identifier, such as 3bbc4555-8fa0-4c9b-a5c0-4505edf3e064"
    if _DASHBOARD_ID.fullmatch(text):
        field.warn(
            "24 hexadecimal digits are the id in the dashboard's address, which Braze"
            f" does not take here; expected {wanted}"
        )
    elif not _UUID.fullmatch(text):
        field.warn(f"this is no UUID; expected {wanted}")
    # A UUID is the same in capitals (RFC 9562, section 4).
    _unique(field, text.lower() if _UUID.fullmatch(text) else text, taken)
    return text


def _unique(field: Field, text: str, taken: dict[str, Field]) -> str:
    first = taken.setdefault(text, field)
    if first is not field:
        place = f"{first.path} (line {first.node.line})"
        message = f"already used at {place}; expected it only once"
        raise ValueError(message)
    return text


def label(field: Field, *, name: str) -> str:
    """Return the text of the configured label `name`."""
    _judge_label_name(name)
    if field.scalar("text", "str") == "":
        message = "Prometheus takes an empty label for none; expected text"
        raise ValueError(message)
    return _label_text(field)


def discovered_label(field: Field, *, name: str) -> str:
    """Return what the label `name` is filled with: `tags` or `channels`."""
    _judge_label_name(name)
    source = field.text()
    if source not in LABEL_SOURCES:
        message = f"expected one of {', '.join(LABEL_SOURCES)}"
        raise ValueError(message)
    return source


def _judge_label_name(name: str) -> None:
    if name in _RESERVED_LABELS or name.startswith("__"):
        message = "this label name is reserved; expected another one"
        raise ValueError(message)
    if not _LABEL_NAME.fullmatch(name):
        message = "expected a label name of letters, digits and _, no digit first"
        raise ValueError(message)


def _label_text(field: Field) -> str:
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
    _refuse_key(name, "the name of an environment variable")
    if not _VARIABLE.fullmatch(name):
        message = "expected the name of an environment variable, such as BRAZE_API_KEY"
        raise ValueError(message)
    return name


def key_path(field: Field) -> str:
    """Return the path of a key file, as it is written."""
    path = field.plain_text()
    # A directory may have a UUID for its name: Kubernetes names its volumes so.
    _refuse_key(
        path if _BEARER.match(path) else PurePath(path).name, "the path of a file"
    )
    return path


def _refuse_key(text: str, expected: str) -> None:
    if _BEARER.match(text) or _KEY.search(text):
        message = f"this looks like a key itself; expected {expected} that holds it"
        raise ValueError(message)


def is_plain_variable(name: str) -> bool:
    """Tell whether a variable may be named in a message: it is in capitals."""
    return _CAPITALS.fullmatch(name) is not None


def judge_key(field: Field, key: str) -> None:
    """Note what would keep Braze from taking the key; never a part of it."""
    text = key.strip()
    if not text:
        field.error("the key there is empty")
    elif not (key.isascii() and key.isprintable()) or " " in key:
        field.error(
            "the key there holds a space, a line break or another character that"
            " cannot be sent"
        )
    elif len(key) > 1 and key[0] == key[-1] and key[0] in "\"'":
        field.warn("the key there is in quotes: Braze answers 401 to a quoted key")


def endpoint(field: Field, *, allow_http: bool) -> str:
    """Return scheme, host and port; doubt a host that Braze does not list."""
    url = hosts.rest_endpoint(field.plain_text(), allow_http=allow_http)
    if hosts.is_doubtful(url):
        field.warn(
            "this host is not on Braze's list of REST hosts; a key sent to a wrong one"
            " gets 401"
        )
    return url


def proxy(field: Field) -> str:
    """Return the URL of a proxy, as it is written."""
    return hosts.proxy_url(field.plain_text())


def timezone(field: Field) -> ZoneInfo:
    """Return the zone of an IANA name."""
    try:
        return ZoneInfo(field.text())
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        message = "expected a name of the IANA time zones, such as America/New_York"
        raise ValueError(message) from error


def boolean(field: Field) -> bool:
    """Return what YAML takes for true or false."""
    return field.scalar("true or false without quotes", "bool").lower() in _TRUE


def interval(field: Field) -> float:
    """Return seconds."""
    return _duration(field, at_least=_SECOND, at_most=7 * _DAY)


def timeout(field: Field) -> float:
    """Return seconds."""
    return _duration(field, at_least=_MILLISECOND, at_most=10 * _MINUTE)


def stale_after(field: Field) -> float:
    """Return seconds."""
    return _duration(field, at_least=_MILLISECOND, at_most=365 * _DAY)


def windows(field: Field) -> tuple[int, ...]:
    """Return windows in days, ascending."""
    taken: dict[str, Field] = {}
    items = field.items("a list such as [7d, 28d]")
    return tuple(sorted(values(items, partial(_window, taken=taken))))


def _window(field: Field, *, taken: dict[str, Field]) -> int:
    days, rest = divmod(_duration(field, at_least=_DAY, at_most=98 * _DAY), _DAY)
    if rest:
        message = "expected whole days, such as 7d"
        raise ValueError(message)
    _unique(field, f"{days}", taken)
    return int(days)


def _duration(field: Field, *, at_least: float, at_most: float) -> float:
    seconds = field.quantity("a duration", units.duration_seconds)
    if not at_least <= seconds <= at_most:
        least = units.duration_text(at_least)
        message = f"expected {least} to {units.duration_text(at_most)}"
        raise ValueError(message)
    return seconds


def rate(field: Field) -> float:
    """Return requests per minute."""
    # Braze allows 50,000; below 0.01 the next request would be hours away.
    amount = field.amount(units.number)
    if not 0.01 <= amount <= 1_000_000:
        message = "expected 0.01 to 1000000 requests per minute"
        raise ValueError(message)
    return amount


def discovery_rate(field: Field) -> float:
    """Return requests per minute that discovery may send."""
    # Of what Braze allows there, 4,166 for each minute, the company's sends live.
    amount = field.amount(units.number)
    if not 0.1 <= amount <= 1000:
        message = "expected 0.1 to 1000 requests per minute"
        raise ValueError(message)
    return amount


def sent_within(field: Field) -> float:
    """Return seconds."""
    return _duration(field, at_least=60 * _MINUTE, at_most=3650 * _DAY)


def grace(field: Field) -> float:
    """Return seconds; 0 is none."""
    return _duration(field, at_least=0.0, at_most=90 * _DAY)


def most_campaigns(field: Field) -> int:
    """Return how many campaigns discovery may add."""
    return _whole(field, at_most=100_000)


def tags(field: Field) -> tuple[str, ...]:
    """Return texts as they stand in Braze: any is possible but a blank one."""
    return values(field.items("a list of tags"), Field.text)


def name_patterns(field: Field) -> tuple[str, ...]:
    """Return patterns of names, which may hold anything."""
    return values(field.items("a list of patterns"), Field.text)


def reserve(field: Field) -> float:
    """Return a fraction from 0 to below 1."""
    share = field.quantity("a percentage", units.fraction)
    if share >= 1:
        message = "expected 0% to below 100%"
        raise ValueError(message)
    return share


def concurrency(field: Field) -> int:
    """Return how many requests may be open at once."""
    return _whole(field, at_most=64)


def _whole(field: Field, *, at_most: int) -> int:
    amount = field.amount(units.whole_number)
    if not 1 <= amount <= at_most:
        message = f"expected 1 to {at_most}"
        raise ValueError(message)
    return amount


def series(field: Field) -> int:
    """Return how many series one campaign may have."""
    return _whole(field, at_most=1_000_000)


def response_bytes(field: Field) -> int:
    """Return a size in bytes."""
    size = field.quantity("a size", units.size_bytes)
    if not units.BYTES["KiB"] <= size <= units.BYTES["GiB"]:
        message = "expected 1KiB to 1GiB"
        raise ValueError(message)
    return size
