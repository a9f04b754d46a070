"""The samples that a document should be exposed as, without code of the exporter.

The rules of the contract, written slowly and plainly, without a limit of series.
Samples are a mapping from (family, labels) to values.
"""

import datetime as dt
import itertools
import math
import unicodedata
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
Entry = tuple[str, str]


def cleaned(text: str) -> str:
    """Replace unsafe characters, then cut."""
    bad = ("Cc", "Cs")
    return "".join(
        "\ufffd" if unicodedata.category(one) in bad and one != "\n" else one
        for one in text
    )[:256]


def is_value(value: object) -> bool:
    """Return whether a JSON value is a number in the range of a double."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def identities(entries: list[Entry]) -> list[tuple[str, str, int]]:
    """Return the keys of the (id, name) pairs of one row."""
    keys = [("id", id_) if id_ else ("name", name) for id_, name in entries]
    return [(*key, keys[: n + 1].count(key)) for n, key in enumerate(keys)]


def labels(rows: list[list[Entry]]) -> dict[tuple[str, str, int], str]:
    """Return the labels of one channel by key; rows come newest first."""
    assigned: dict[tuple[str, str, int], str] = {}
    for row in rows:
        nameless = [name for _, name in row].count("")
        found = [
            (identity, entry)
            for identity, entry in zip(identities(row), row, strict=True)
            if identity not in assigned
        ]
        texts = []
        for _, (id_, name) in found:
            fallback = "default" if nameless == 1 else cleaned(id_) or "default"
            texts.append(cleaned(name) or fallback)
        for (identity, (id_, _)), text in zip(found, texts, strict=True):
            is_shared = texts.count(text) > 1
            assigned[identity] = next(
                label
                for label in candidates(text, id_, is_shared=is_shared)
                if label not in assigned.values()
            )
    return assigned


def candidates(text: str, id_: str, *, is_shared: bool) -> Any:
    """Yield the labels for a key in the order in which they are tried."""
    suffix = f" ({cleaned(id_)[:8]})" if id_ else ""
    if not is_shared or not id_:
        yield text
    endings = itertools.chain(
        [suffix] if id_ else [], (f"{suffix} #{n}" for n in itertools.count(2))
    )
    for ending in endings:
        yield text[: 256 - len(ending)] + ending


def usable_rows(data: list[Any], today: dt.date) -> dict[dt.date, Any]:
    """Return one row per date, the later in the list; newest first."""
    rows = {}
    for row in data:
        text = row.get("time") if isinstance(row, dict) else None
        if isinstance(text, str) and len(text) == 10 and text.isascii():
            try:
                day = dt.datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007
            except ValueError:
                continue
            if day <= today + dt.timedelta(days=1):
                rows[day] = row
    return dict(sorted(rows.items(), reverse=True))


def stats(fields: dict[str, Any], hidden: tuple[str, ...]) -> dict[str, Any]:
    """Return the numbers among the fields; the first of equal names is used."""
    chosen: dict[str, Any] = {}
    for name, value in fields.items():
        if name not in hidden and name and is_value(value):
            chosen.setdefault(cleaned(name), value)
    return chosen


def in_use(value: Any) -> set[str]:
    """Return the fields that are numbers other than 0 anywhere in a value."""
    if isinstance(value, list):
        return set[str]().union(*map(in_use, value))
    found: set[str] = set()
    for name, one in value.items() if isinstance(value, dict) else ():
        found |= {cleaned(name)} if is_value(one) and one != 0 else in_use(one)
    return found


def text(value: object) -> str:
    """Return a text, empty for any other type."""
    return value if isinstance(value, str) else ""


def channels(row: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the lists among the channels, and the objects among their entries."""
    messages = row.get("messages")
    chosen: dict[str, list[dict[str, Any]]] = {}
    for key, entries in messages.items() if isinstance(messages, dict) else ():
        if key and isinstance(entries, list):
            objects = [entry for entry in entries if isinstance(entry, dict)]
            chosen.setdefault(cleaned(key), objects)
    return chosen


def pairs(entries: list[dict[str, Any]]) -> list[Entry]:
    """Return the (id, name) of each entry."""
    return [
        (text(one.get("variation_api_id")), text(one.get("variation_name")))
        for one in entries
    ]


LabelPairs = tuple[tuple[str, str], ...]


class Reading:
    """All rows of a document, with labels."""

    def __init__(self, rows: dict[dt.date, Any], *, skip_unused: bool = False) -> None:
        self.infos: dict[tuple[str, str], str] = {}
        self.controls: set[tuple[str, str]] = set()
        self.names = {}
        for channel in {channel for row in rows.values() for channel in channels(row)}:
            lists = [channels(row).get(channel, []) for row in rows.values()]
            self.names[channel] = labels([pairs(entries) for entries in lists])
        self.days = {day: self.read(row) for day, row in rows.items()}
        if skip_unused:
            used = in_use(list(rows.values()))
            for day, values in self.days.items():
                self.days[day] = {
                    own: value
                    for own, value in values.items()
                    if dict(own)["metric"] in used
                }

    def read(self, row: dict[str, Any]) -> dict[LabelPairs, Any]:
        """Return the numbers of one row by their labels."""
        found: dict[LabelPairs, Any] = {}
        for name, value in stats(row, ("time", "messages", *HIDDEN)).items():
            found[("metric", name),] = value
        for channel, entries in channels(row).items():
            for identity, entry in zip(
                identities(pairs(entries)), entries, strict=True
            ):
                label = self.names[channel][identity]
                self.infos[channel, label] = identity[1] if identity[0] == "id" else ""
                if is_value(entry.get("enrolled")):
                    self.controls.add((channel, label))
                for name, value in stats(entry, HIDDEN).items():
                    own = (("channel", channel), ("variation", label), ("metric", name))
                    assert own not in found
                    found[own] = value
        return found

    def total(self, days: list[dt.date]) -> dict[LabelPairs, float]:
        """Add up days exactly."""
        sums: dict[LabelPairs, Fraction] = {}
        for day in days:
            for own, value in self.days[day].items():
                sums[own] = sums.get(own, Fraction(0)) + Fraction(value)
        return {
            own: float(total)
            for own, total in sums.items()
            if dict(own)["metric"] != "unique_recipients" and fits(total)
        }


def expected(
    data: list[Any],
    *,
    today: dt.date,
    timezone: ZoneInfo,
    windows: tuple[int, ...],
    subject: dict[str, str],
    revisions: bool = True,
    skip_unused: bool = False,
    contract: tuple[str, ...] = (),
) -> Samples:
    """Return every sample of a document's `data`, read for the first time."""
    reading = Reading(usable_rows(data, today), skip_unused=skip_unused)
    samples = month_to_date("campaign", reading.days, today, contract, subject)

    def add(family: str, own: LabelPairs, value: float) -> None:
        key = (family, frozenset((*subject.items(), *own)))
        assert key not in samples
        samples[key] = float(value)

    past = [day for day in reading.days if day < today]
    shown: list[tuple[str, LabelPairs, dict[LabelPairs, Any]]] = []
    for ending, chosen in (("daily", list(reading.days)), ("last_complete_day", past)):
        if chosen:
            shown.append((ending, (), reading.days[chosen[0]]))
            start = first_instant(chosen[0], timezone)
            add(f"braze_campaign_{ending}_timestamp_seconds", (), start)
    for window in windows:
        chosen = [day for day in past if (today - day).days <= window]
        of_days: LabelPairs = (("window", f"{window}d"),)
        shown.append(("trailing", of_days, reading.total(chosen)))
    for ending, label, values in shown:
        for own, value in values.items():
            add(family_of(own) + ending, own + label, value)
    if past and revisions:
        for own in reading.days[past[0]]:
            add(f"{family_of(own)}last_complete_day_revision", own, 0)
    for own in {own[:2] for _, _, values in shown for own in values if len(own) == 3}:
        (_, channel), (_, variation) = own
        is_control = (channel, variation) in reading.controls
        about = (
            *own,
            ("variation_id", cleaned(reading.infos[channel, variation])),
            ("control", "true" if is_control else "false"),
        )
        add("braze_campaign_variation_info", about, 1)
    return samples


def month_to_date(
    kind: str,
    days: dict[dt.date, dict[LabelPairs, Any]],
    today: dt.date,
    contract: tuple[str, ...],
    subject: dict[str, str],
) -> Samples:
    """Add up what the channels of a contract sent on the days of this month."""
    sums: dict[str, Fraction] = {}
    for day, values in days.items():
        if (day.year, day.month) == (today.year, today.month) and day <= today:
            for own, value in values.items():
                channel = dict(own).get("channel", "")
                if dict(own)["metric"] == "sent":
                    sums[channel] = sums.get(channel, Fraction(0)) + Fraction(value)
    family = f"braze_{kind}_month_to_date_messages"
    return {
        (family, frozenset({**subject, "channel": channel}.items())): float(total)
        for channel, total in sums.items()
        if channel in contract and fits(total)
    }


HIDDEN = ("variation_name", "variation_api_id")


def family_of(own: LabelPairs) -> str:
    """Return the prefix of the families of a variation or of the whole campaign."""
    return "braze_campaign_" if len(own) > 1 else "braze_campaign_overall_"


def fits(total: Fraction) -> bool:
    """Return whether a sum is in the range of a double."""
    try:
        float(total)
    except OverflowError:
        return False
    return True


def first_instant(day: dt.date, timezone: ZoneInfo) -> float:
    """Return the first quarter of an hour of the local date."""
    at = int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp())
    at -= 30 * 3600
    while dt.datetime.fromtimestamp(at, timezone).date() < day:
        at += 900
    return at


def parsed(page: bytes) -> Samples:
    """Return the samples of a page; both official parsers must agree."""
    page_text = page.decode()
    families = text_string_to_metric_families(page_text)
    one = _collect(families)
    read: Any = openmetrics.text_string_to_metric_families
    assert _collect(read(page_text + "# EOF\n")) == one
    assert page_text.count("# TYPE ") == len({family for family, _ in one})
    assert page_text.count("# HELP ") == page_text.count("# TYPE ")
    return one


def _collect(families: Any) -> Samples:
    samples: Samples = {}
    seen = set()
    for family in families:
        assert family.type == "gauge"
        assert family.documentation
        assert family.name not in seen
        assert family.samples
        seen.add(family.name)
        for sample in family.samples:
            assert sample.name == family.name
            assert sample.timestamp is None
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples
            samples[key] = sample.value
    return samples
