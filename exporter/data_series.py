"""A campaign's data series: the document Braze answers becomes a snapshot.

Any JSON value at all gives a `Snapshot` or `MalformedSeries`; no odd field, entry or
row costs more than itself, and what is left out is counted. Days are chosen by their
`time`, never by their place. It knows nothing of HTTP, Prometheus or the clock.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from fnmatch import translate
from functools import lru_cache
from math import fsum, isfinite
from typing import TypeGuard
from zoneinfo import ZoneInfo

from exporter.errors import MalformedSeries
from exporter.labels import Claim, Identity, claim, clean, give_labels
from exporter.model import Day, Figures, Selection, Snapshot, Stats, Variation

STATUS_SERIES = 5
"""What a campaign exposes beside its values at most; they are under the limit too."""

_Part = dict[tuple[str, Identity], Stats]
"""Figures in the making: (channel, identity) → stats, none of them empty."""

# No channel has an empty key, so the campaign-wide stats can stand among the others.
_OVERALL = ("", ("", "", 0))

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NO_STATS = ("variation_name", "variation_api_id")
_EXACT = 2**53


@dataclass(frozen=True, slots=True)
class Reading:
    """How a document is to be read."""

    today: date
    """In the workspace's time zone."""
    timezone: ZoneInfo
    windows: tuple[int, ...]
    """In days, ascending, without repeats."""
    channels: Selection
    metrics: Selection
    series_limit: int
    """Of the whole campaign, its status included."""


def days_needed(windows: Iterable[int]) -> int:
    """Return for how many days to ask so that every window and today are covered."""
    return min(max(windows, default=0) + 2, 100)


def parse(document: object, reading: Reading) -> Snapshot:
    """Read one answer of Braze; raise `MalformedSeries` if it is no data series."""
    rows, skipped_rows = _usable_rows(_data(document), reading.today)
    reader = _Reader(reading)
    parts = {day: reader.read(row) for day, row in rows}
    past = {day: part for day, part in parts.items() if day < reading.today}
    return _arrange(
        latest=next(iter(parts.items()), None),
        last_complete=next(iter(past.items()), None),
        trailing=_trailing(past, reading),
        variations=reader.variations(),
        reading=reading,
        ignored_values=reader.ignored_values,
        skipped_rows=skipped_rows,
    )


def _data(document: object) -> list[object]:
    if not isinstance(document, dict):
        text = f"the body is {_kind(document)}, expected an object"
        raise MalformedSeries(text)
    message = document.get("message")
    if message is not None and message != "success":
        raise MalformedSeries(f"message is {_quote(message)}, expected success")
    if "data" not in document:
        raise MalformedSeries("data is missing, expected a list of days")
    data = document["data"]
    if not isinstance(data, list):
        raise MalformedSeries(f"data is {_kind(data)}, expected a list of days")
    return data


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", type(None): "null"}
    return kinds.get(type(value), "a bool" if isinstance(value, bool) else "a number")


def _quote(message: object) -> str:
    """Show a text of Braze so that it stays on its log line."""
    if not isinstance(message, str):
        return _kind(message)
    return '"' + " ".join(clean(message).split())[:200] + '"'


def _usable_rows(
    data: Iterable[object], today: date
) -> tuple[list[tuple[date, Mapping[str, object]]], int]:
    """Return the rows newest first, one per date, and how many were skipped."""
    rows: dict[date, Mapping[str, object]] = {}
    skipped = 0
    for row in data:
        day = _date(row.get("time")) if isinstance(row, dict) else None
        if day is None or (day - today).days > 1:
            skipped += 1
        else:
            rows[day] = row
    return sorted(rows.items(), key=lambda item: item[0], reverse=True), skipped


def _date(value: object) -> date | None:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def _is_number(value: object) -> TypeGuard[int | float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return isfinite(value)
    except OverflowError:
        return False


@lru_cache(maxsize=64)
def _matcher(selection: Selection) -> Callable[[str], bool]:
    """Compile the patterns once; as `fnmatchcase` would decide."""
    include = [re.compile(translate(glob)).match for glob in selection.include]
    exclude = [re.compile(translate(glob)).match for glob in selection.exclude]

    def is_selected(name: str) -> bool:
        if include and not any(match(name) for match in include):
            return False
        return not any(match(name) for match in exclude)

    return is_selected


class _Texts(dict[str, str]):
    """Braze's names → label texts, found out once; empty: not to be shown."""

    def __init__(self, selection: Selection, hidden: Iterable[str] = ()) -> None:
        super().__init__(dict.fromkeys(hidden, ""))
        self._is_selected = _matcher(selection)

    def __missing__(self, name: str) -> str:
        text = self[name] = clean(name) if self._is_selected(name) else ""
        return text


class _Reader:
    """Reads rows, newest first, and remembers what concerns all of them."""

    def __init__(self, reading: Reading) -> None:
        self.ignored_values = 0
        self._channels = _Texts(reading.channels)
        self._row_fields = _Texts(reading.metrics, ("time", "messages", *_NO_STATS))
        self._entry_fields = _Texts(reading.metrics, _NO_STATS)
        self._claims: dict[str, list[list[Claim]]] = defaultdict(list)
        self._controls: set[tuple[str, Identity]] = set()

    def read(self, row: Mapping[str, object]) -> _Part:
        """Return the stats of one row."""
        part: _Part = {}
        for channel, entries in self._messages(row.get("messages")).items():
            claims = claim((_text(e, "variation_api_id"), _text(e, "variation_name"))
                           for e in entries)
            self._claims[channel].append(claims)
            for one, entry in zip(claims, entries, strict=True):
                key = (channel, one.identity)
                if "enrolled" in entry and _is_number(entry["enrolled"]):
                    self._controls.add(key)
                if stats := self._stats(entry, self._entry_fields):
                    part[key] = stats
        if stats := self._stats(row, self._row_fields):
            part[_OVERALL] = stats
        return part

    def variations(self) -> dict[tuple[str, Identity], Variation]:
        """Return every identity of the rows read so far, in no order."""
        variations = {}
        for channel, rows in self._claims.items():
            ids = {one.identity: clean(one.id) for row in rows for one in row}
            for identity, label in give_labels(rows).items():
                variations[channel, identity] = Variation(
                    channel=channel,
                    label=label,
                    id=ids[identity],
                    is_control=(channel, identity) in self._controls,
                )
        return variations

    def _messages(self, messages: object) -> dict[str, list[Mapping[str, object]]]:
        found: dict[str, list[Mapping[str, object]]] = {}
        if messages is not None and not isinstance(messages, dict):
            self.ignored_values += 1
        elif messages:
            for key, entries in messages.items():
                channel = self._channels[key]
                if not channel or channel in found or entries is None:
                    continue
                if not isinstance(entries, list):
                    self.ignored_values += 1
                    continue
                objects = [entry for entry in entries if isinstance(entry, dict)]
                self.ignored_values += len(entries) - len(objects)
                found[channel] = objects
        return found

    def _stats(self, fields: Mapping[str, object], texts: _Texts) -> Stats:
        stats: dict[str, int | float] = {}
        for name, value in fields.items():
            text = texts[name]
            if not text:
                continue
            # Nearly every value is a small int: it is not worth a call.
            if (type(value) is int and -_EXACT <= value <= _EXACT) or _is_number(value):
                stats.setdefault(text, value)
            elif value is not None:
                self.ignored_values += 1
        return stats
