"""A campaign's data series: the document Braze answers becomes a snapshot.

Any JSON value at all gives a `Snapshot` or `MalformedSeries`; no odd field, entry or
row costs more than itself, and what is left out is counted. Days are chosen by their
`time`, never by their place. It knows nothing of HTTP, Prometheus or the clock.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from math import isfinite
from typing import Any, NamedTuple, TypeGuard
from zoneinfo import ZoneInfo

from exporter import deliverability, history
from exporter.days import read_date, starts_at
from exporter.errors import MalformedSeries
from exporter.labels import Claim, Identity, claim, clean, give_labels
from exporter.model import (
    Chronicle,
    Day,
    Figures,
    History,
    Selection,
    Snapshot,
    Stats,
    Variation,
)
from exporter.restatement import first_reading, revision
from exporter.selection import matcher
from exporter.trailing import add_up

STATUS_SERIES = 5
"""What a campaign exposes beside its values at most; they are under the limit too."""

QUIET_DAYS = 14
"""So many complete days without a count make a campaign idle."""

_CHRONICLE_STATUS_SERIES = 2
"""The same of a chronicle: its campaign's info, and which day it is."""

_Key = tuple[str, Identity]
_Part = dict[_Key, Stats]
"""Figures in the making: (channel, identity) → stats, none of them empty."""

# No channel has an empty key, so the campaign-wide stats can stand among the others.
_OVERALL = ("", Identity("", "", 0))
_DATES = ("", Identity("", "", 1))
"""What the timestamps of the days stand under where series are counted."""

_MOST_ENTRIES = 100_000
"""Of one document: a hundred rows of a thousand variations. 4 MiB can hold three times
as many empty ones, which would cost hundreds of MB."""

_NO_STATS = ("variation_name", "variation_api_id")


class Reading(NamedTuple):
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


def parse(
    document: object, reading: Reading, *, first_complete: Day | None = None
) -> Snapshot:
    """Read one answer of Braze; raise `MalformedSeries` if it is no data series.

    `first_complete` is what the snapshot before it remembers of a day's first reading.
    """
    rows, skipped_rows = _usable_rows(_data(document), reading.today)
    reader = _Reader(reading)
    days = [(day, reader.read(row)) for day, row in rows]
    past = [(day, part) for day, part in days if day < reading.today]
    ages = [((reading.today - day).days, part) for day, part in past]
    trailing = add_up(ages, reading.windows)
    chosen = [*days[:1], *past[:1]]
    is_quiet, is_active = _activity(rows, reading.today)

    variations = reader.variations()
    # The last complete day once more: for its revision.
    costs = _costs(part for _, part in [*chosen, *past[:1], *trailing])
    costs[_DATES] = len(chosen)
    order = [_DATES, _OVERALL, *(key for key in variations if key in costs)]
    kept = _admit(costs, order=order, room=reading.series_limit - STATUS_SERIES)
    series = sum(costs[key] for key in kept)
    dropped_series = sum(costs.values()) - series
    shown = {key: one for key, one in variations.items() if key in kept}

    def figures(part: _Part) -> Figures:
        return _figures(part, shown=shown, has_overall=_OVERALL in kept)

    def newest(rows: Sequence[tuple[date, _Part]]) -> Day | None:
        if not rows or _DATES not in kept:
            return None
        day, part = rows[0]
        return Day(day, starts_at(day, reading.timezone), figures(part))

    sums = ((window, figures(part)) for window, part in trailing)
    last_complete = newest(past)
    first_complete = first_reading(
        last_complete, known=first_complete, today=reading.today
    )
    series -= _unrevised(first_complete, last_complete)
    return Snapshot(
        variations=tuple(shown.values()),
        latest=newest(days),
        last_complete=last_complete,
        trailing=tuple((n, one) for n, one in sums if one.variations or one.overall),
        series=series,
        dropped_series=dropped_series,
        ignored_values=reader.ignored_values,
        skipped_rows=skipped_rows,
        history=_history(days, kept, reading.today),
        is_quiet=is_quiet,
        is_active=is_active,
        first_complete=first_complete,
    )


def _unrevised(first: Day | None, last: Day | None) -> int:
    """Return how many numbers of the last complete day have no revision."""
    shown = _count(last.figures) if last else 0
    return shown - _count(revision(first, last))


def _count(figures: Figures) -> int:
    return len(figures.overall) + sum(len(stats) for _, stats in figures.variations)


def check(document: object) -> None:
    """Raise `MalformedSeries` if it is no data series, whatever its rows are."""
    _data(document)


def parse_chronicle(
    pages: Iterable[object], reading: Reading, *, first: date
) -> Chronicle:
    """Read the complete days from `first` on; `MalformedSeries`: a page is none.

    Of a day that several pages hold, the first of them counts. Labels are those that
    the newest row would give, also if it is of today.
    """
    rows: dict[date, Mapping[str, object]] = {}
    for document in pages:
        for day, row in _usable_rows(_data(document), reading.today)[0]:
            rows.setdefault(day, row)
    reader = _Reader(reading)
    days = [(day, reader.read(rows[day])) for day in sorted(rows, reverse=True)]
    chosen = [(day, part) for day, part in days if first <= day < reading.today]

    variations = reader.variations()
    costs = _costs([_united(part for _, part in chosen)])
    costs[_DATES] = _CHRONICLE_STATUS_SERIES
    order = [_DATES, _OVERALL, *(key for key in variations if key in costs)]
    kept = _admit(costs, order=order, room=reading.series_limit)
    series = sum(costs[key] for key in kept)
    shown = {key: one for key, one in variations.items() if key in kept}
    return Chronicle(
        variations=tuple(shown.values()),
        days=tuple(
            Day(
                day,
                starts_at(day, reading.timezone),
                _figures(part, shown=shown, has_overall=_OVERALL in kept),
            )
            for day, part in reversed(chosen)
        ),
        series=series,
        dropped_series=sum(costs.values()) - series,
    )


def _united(parts: Iterable[_Part]) -> _Part:
    """Return every field that occurs, with any one of its values."""
    union: dict[_Key, dict[str, int | float]] = defaultdict(dict)
    for part in parts:
        for key, stats in part.items():
            union[key].update(stats)
    return dict(union)


def _figures(
    part: _Part, *, shown: Mapping[_Key, Variation], has_overall: bool
) -> Figures:
    return Figures(
        tuple((one, part[key]) for key, one in shown.items() if key in part),
        overall=part.get(_OVERALL, {}) if has_overall else {},
    )


def _history(
    days: Iterable[tuple[date, _Part]], kept: set[_Key], today: date
) -> History | None:
    """Return how the newest days went, over what is shown of them."""
    by_age = {}
    for day, part in days:
        age = (today - day).days
        if 0 <= age < history.DAYS:
            shown = [(key[0], stats) for key, stats in part.items() if key in kept]
            tally = deliverability.tally_of(shown)
            by_age[age] = history.PastDay(_double(tally.sent), tally.level)
    return history.packed(today, by_age)


def _double(value: float | None) -> float | None:
    return None if value is None else float(value)


def _data(document: object) -> list[object]:
    if not isinstance(document, dict):
        raise MalformedSeries(f"the body is {_kind(document)}, expected an object")
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
        day = read_date(row.get("time")) if isinstance(row, dict) else None
        if not isinstance(row, dict) or day is None or (day - today).days > 1:
            skipped += 1
        else:
            rows[day] = row
    return sorted(rows.items(), key=lambda item: item[0], reverse=True), skipped


def _activity(
    rows: Sequence[tuple[date, Mapping[str, object]]], today: date
) -> tuple[bool, bool]:
    """Return whether two weeks were quiet, and whether anything is happening.

    Every number of Braze counts, also what is not selected to be shown: a campaign that
    sends must not be taken for idle because only its bounces are.
    """
    ages = [((today - day).days, row) for day, row in rows]
    recent = [(age, row) for age, row in ages if age <= QUIET_DAYS]
    active = [age for age, row in recent if _holds_a_count(row)]
    complete = sum(age >= 1 for age, _ in recent)
    is_quiet = not active and complete == QUIET_DAYS
    return is_quiet, any(age <= 1 for age in active)


def _holds_a_count(row: Mapping[str, object]) -> bool:
    """Tell whether a number other than 0 stands in the row or in one of its entries."""
    messages = row.get("messages")
    channels = messages.values() if isinstance(messages, dict) else ()
    entries = [
        entry
        for channel in channels
        if isinstance(channel, list)
        for entry in channel
        if isinstance(entry, dict)
    ]
    return any(
        value and _is_number(value)
        for part in (row, *entries)
        for value in part.values()
    )


def _is_number(value: object) -> TypeGuard[int | float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return isfinite(value)
    except OverflowError:
        return False


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


class _Texts(dict[str, str]):
    """Braze's names → label texts, found out once; empty: not to be shown."""

    def __init__(self, selection: Selection, *hidden: str) -> None:
        super().__init__(dict.fromkeys(hidden, ""))
        self.hidden = hidden
        self.as_named: set[str] = set()
        """Those of the names met so far that are their own texts."""
        self._is_selected = matcher(selection)

    def __missing__(self, name: str) -> str:
        text = self[name] = clean(name) if self._is_selected(name) else ""
        if text == name:
            self.as_named.add(name)
        return text


class _Named(NamedTuple):
    """The entries of one channel as they are called on one day or on several."""

    raw: list[tuple[object, object]]
    """Their ids and names, whatever Braze sent."""
    claims: list[Claim]
    keys: list[_Key]


class _Reader:
    """Reads rows, newest first, and remembers what concerns all of them."""

    def __init__(self, reading: Reading) -> None:
        self.ignored_values = 0
        self._entries = 0
        self._channels = _Texts(reading.channels)
        self._row_fields = _Texts(reading.metrics, "time", "messages", *_NO_STATS)
        self._entry_fields = _Texts(reading.metrics, *_NO_STATS)
        self._lists: dict[str, list[_Named]] = defaultdict(list)
        self._controls: set[_Key] = set()

    def read(self, row: Mapping[str, object]) -> _Part:
        """Return the stats of one row."""
        part: _Part = {}
        for channel, entries in self._messages(row.get("messages")).items():
            for key, entry in zip(self._keys(channel, entries), entries, strict=True):
                if "enrolled" in entry and _is_number(entry["enrolled"]):
                    self._controls.add(key)
                if stats := self._stats(entry, self._entry_fields):
                    part[key] = stats
        if stats := self._stats(row, self._row_fields):
            part[_OVERALL] = stats
        return part

    def variations(self) -> dict[_Key, Variation]:
        """Return every identity of the rows read so far, by (channel, label)."""
        variations: dict[_Key, Variation] = {}
        for channel, lists in self._lists.items():
            for identity, label in give_labels(one.claims for one in lists).items():
                variations[channel, identity] = Variation(
                    channel=channel,
                    label=label,
                    id=clean(identity.id),
                    is_control=(channel, identity) in self._controls,
                )
        return dict(
            sorted(
                variations.items(), key=lambda item: (item[1].channel, item[1].label)
            )
        )

    def _keys(
        self, channel: str, entries: Sequence[Mapping[str, object]]
    ) -> Sequence[_Key]:
        """Return what each entry of a channel is known by on one day."""
        raw = [(e.get("variation_api_id"), e.get("variation_name")) for e in entries]
        lists = self._lists[channel]
        # Nearly every day has the variations of the day after it.
        if not lists or lists[-1].raw != raw:
            claims = claim((_text(id_), _text(name)) for id_, name in raw)
            keys = [(channel, one.identity) for one in claims]
            lists.append(_Named(raw, claims, keys))
        return lists[-1].keys

    def _messages(self, messages: object) -> dict[str, list[Mapping[str, object]]]:
        found: dict[str, list[Mapping[str, object]]] = {}
        if messages is not None and not isinstance(messages, dict):
            self.ignored_values += 1
        elif messages:
            self._count_entries(messages.values())
            for key, entries in messages.items():
                channel = self._channels[key]
                if not channel or channel in found or entries is None:
                    continue
                if not isinstance(entries, list):
                    self.ignored_values += 1
                    continue
                objects: list[Mapping[str, object]]
                objects = [entry for entry in entries if isinstance(entry, dict)]
                self.ignored_values += len(entries) - len(objects)
                found[channel] = objects
        return found

    def _count_entries(self, channels: Iterable[object]) -> None:
        """Before any of them is looked at: that is what would cost time and memory."""
        self._entries += sum(
            max(len(entries), 1) if isinstance(entries, list) else 1
            for entries in channels
        )
        if self._entries > _MOST_ENTRIES:
            message = f"more than {_MOST_ENTRIES} variations, expected fewer"
            raise MalformedSeries(message)

    def _stats(self, fields: Mapping[str, object], texts: _Texts) -> Stats:
        """Return the numbers among the fields, under the texts they are shown by."""
        if usual := _usual_stats(fields, texts):
            return usual
        stats: dict[str, int | float] = {}
        for name, value in fields.items():
            text = texts[name]
            if not text:
                continue
            if _is_number(value):
                stats.setdefault(text, value)
            elif value is not None:
                self.ignored_values += 1
        return stats


def _usual_stats(fields: Mapping[str, object], texts: _Texts) -> Stats | None:
    """Return what nearly every entry holds: finite numbers alone, shown as named.

    One look at all of them at once: there are thousands of values in a document.
    """
    stats: dict[str, Any] = dict(fields)
    for name in texts.hidden:
        stats.pop(name, None)
    values = stats.values()
    try:
        is_finite = isfinite(sum(values))
    except (TypeError, OverflowError):
        return None
    is_usual = is_finite and bool not in map(type, values)
    return stats if is_usual and texts.as_named.issuperset(stats) else None


def _costs(parts: Iterable[_Part]) -> Counter[_Key]:
    """Count the series of each identity, its `variation_info` included."""
    costs = Counter[_Key]()
    for part in parts:
        for key, stats in part.items():
            costs[key] += len(stats)
    costs.update(key for key in list(costs) if key != _OVERALL)
    return costs


def _admit(costs: Mapping[_Key, int], *, order: Iterable[_Key], room: int) -> set[_Key]:
    """Return what fits; after the first identity that does not, no other does."""
    kept = set()
    for key in order:
        if costs[key] <= room:
            kept.add(key)
            room -= costs[key]
        elif key != _OVERALL:
            room = 0
    return kept
