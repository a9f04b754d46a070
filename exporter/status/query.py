"""The filter, order and page that a query string of the status page selects.

Every query string is valid: unknown fields and values are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlencode

from exporter.polling.kinds import KINDS as POLLED_KINDS
from exporter.polling.kinds import Kind
from exporter.series.deliverability import Level
from exporter.status.view_model import ObjectState, ObjectView

ATTENTION = "attention"
"""A filter in place of a state: failing, stale or paused, or a rate is high."""

IDLE = "idle"
"""A filter in place of a state: polled at the idle interval, in any state."""

SORTS: Mapping[str, str] = {
    "state": "Urgency",
    "name": "Name",
    "sent": "Sent",
    "bounces": "Bounces",
    "spam": "Spam",
    "age": "Age",
    "next": "Next poll",
}
_DEFAULT_SORT = "state"
_DESCENDING = frozenset({"sent", "bounces", "spam", "age"})
"""Sorted from the greatest value by default."""

STATES: Mapping[str, str] = {
    ATTENTION: "Need attention",
    ObjectState.PAUSED: "Paused",
    ObjectState.STALE: "Stale",
    ObjectState.FAILING: "Failing",
    ObjectState.WAITING: "Not polled yet",
    ObjectState.OK: "Up to date",
    IDLE: "Idle",
}
KINDS: Mapping[str, str] = {one.label: one.plural.capitalize() for one in POLLED_KINDS}
"""All series of the workspace are one."""
PAGE_SIZES = (25, 50, 100, 250)
_PAGE_SIZE = 50
_MAX_TEXT = 200
_MAX_FIELDS = 50

_SEVERITY = {state: place for place, state in enumerate(ObjectState)}


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A filter, an order and a page."""

    text: str = ""
    """Words; an object has to contain all of them."""
    workspace: str = ""
    state: str = ""
    sort: str = _DEFAULT_SORT
    is_reversed: bool = False
    """Whether the order is the opposite of this column's default."""
    page: int = 1
    page_size: int = _PAGE_SIZE
    kind: str = ""
    """The label of a kind; empty: all."""

    @property
    def is_descending(self) -> bool:
        """Whether the greatest value comes first."""
        return (self.sort in _DESCENDING) is not self.is_reversed

    @property
    def query_string(self) -> str:
        """The canonical query string: fields in one order, without defaults."""
        order = "reversed" if self.is_reversed else ""
        fields = (
            ("q", self.text, ""),
            ("workspace", self.workspace, ""),
            ("kind", self.kind, ""),
            ("state", self.state, ""),
            ("sort", self.sort, _DEFAULT_SORT),
            ("order", order, ""),
            ("size", self.page_size, _PAGE_SIZE),
            ("page", self.page, 1),
        )
        return urlencode(
            [(name, value) for name, value, default in fields if value != default]
        )

    def kinds_of(self, polled: Sequence[Kind]) -> tuple[Kind, ...]:
        """Return the kinds that are listed, of those that are polled."""
        selected = (one for one in POLLED_KINDS if one.label == self.kind)
        return tuple(selected)[:1] or tuple(polled)

    def sorted_by(self, sort: str) -> ListQuery:
        """Return the query in this order, or reversed if that is the current order."""
        is_reversed = self.sort == sort and not self.is_reversed
        return replace(self, sort=sort, is_reversed=is_reversed, page=1)


@dataclass(frozen=True, slots=True)
class ObjectPage:
    """One page of the selected campaigns, canvases and series."""

    query: ListQuery
    """With the number of an existing page."""
    rows: tuple[ObjectView, ...]
    first: int
    """The number of the first row, from 1; 0 if there are no rows."""
    found: int
    pages: int


def parse_query(query_string: str) -> ListQuery:
    """Parse a query string."""
    try:
        fields = dict(parse_qsl(query_string, max_num_fields=_MAX_FIELDS))
    except ValueError:
        return ListQuery()
    state, sort = fields.get("state", ""), fields.get("sort", "")
    kind = fields.get("kind", "")
    size = _number(fields.get("size", ""))
    return ListQuery(
        text=" ".join(fields.get("q", "")[:_MAX_TEXT].split()),
        workspace=fields.get("workspace", "")[: 2 * _MAX_TEXT],
        kind=kind if kind in KINDS else "",
        state=state if state in STATES else "",
        sort=sort if sort in SORTS else _DEFAULT_SORT,
        is_reversed=fields.get("order") == "reversed",
        page=max(1, _number(fields.get("page", ""))),
        page_size=size if size in PAGE_SIZES else _PAGE_SIZE,
    )


def select(objects: Sequence[ObjectView], query: ListQuery) -> list[ObjectView]:
    """Return the matching objects of all pages, sorted; those without a value last.

    Objects with equal values are in the order of their names.
    """
    words = query.text.casefold().split()
    found = [
        one
        for one in objects
        if (not query.workspace or one.labels.workspace == query.workspace)
        and (not query.kind or one.kind.label == query.kind)
        and (not query.state or is_in(one, query.state))
        and all(word in _searchable_text(one) for word in words)
    ]
    found.sort(key=lambda one: (one.labels.name.casefold(), one.labels.workspace))
    if query.sort == "name":
        return found[::-1] if query.is_descending else found
    # The sort is stable, also when reversed.
    keys = [(_sort_key(one, query.sort), one) for one in found]
    known = [(key, one) for key, one in keys if key is not None]
    known.sort(key=lambda pair: pair[0], reverse=query.is_descending)
    return [one for _, one in known] + [one for key, one in keys if key is None]


def page_of(objects: Sequence[ObjectView], query: ListQuery) -> ObjectPage:
    """Return one page of the matching objects; the last one if it does not exist."""
    found = select(objects, query)
    pages = max(1, -(-len(found) // query.page_size))
    number = min(query.page, pages)
    start = (number - 1) * query.page_size
    rows = tuple(found[start : start + query.page_size])
    return ObjectPage(
        query=replace(query, page=number),
        rows=rows,
        first=start + 1 if rows else 0,
        found=len(found),
        pages=pages,
    )


def is_in(one: ObjectView, state: str) -> bool:
    """Return whether an object is in a state, needs attention or is idle."""
    if state == IDLE:
        return one.is_idle
    if state == ATTENTION:
        is_polled = one.state in {ObjectState.OK, ObjectState.WAITING}
        return not is_polled or one.level > Level.FINE
    return one.state == state


def _searchable_text(one: ObjectView) -> str:
    labels = one.labels
    texts = (
        labels.name,
        labels.id,
        labels.workspace,
        *one.channels,
        *(f"{name}={value}" for name, value in labels.labels.items()),
        one.status.failure or "",
    )
    return "\n".join(texts).casefold()


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _sort_key(one: ObjectView, sort: str) -> tuple[float, ...] | None:
    """Return the key of an object; None: it has no value."""
    tally = one.latest.tally if one.latest else None
    value: float | None
    if sort == "state":
        return (_SEVERITY[one.state], -one.level)
    if sort == "age":
        at = one.status.last_success_at
        value = None if at is None else -at
    elif sort == "next":
        value = one.next_poll.at
    elif tally is None or sort == "sent":
        value = tally.sent if tally else None
    else:
        rate = tally.bounce_rate if sort == "bounces" else tally.spam_rate
        return None if rate.ratio is None else (rate.level, rate.ratio)
    return None if value is None else (value,)
