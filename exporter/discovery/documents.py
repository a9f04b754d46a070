"""Parsers of Braze's lists and details of campaigns and canvases.

Every JSON document is parsed or raises `MalformedCatalogue`. Names, tags and channels
keep Braze's spelling; an unusable entry is skipped alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from exporter.model.errors import MalformedCatalogue
from exporter.model.labels import LONGEST, clean

FULL_PAGE = 100
"""Braze's page size: a shorter page is the last one."""

_MAX_TEXTS = 100
"""Upper limit of one object's tags, channels or steps; usually there are a few."""

_MAX_SECONDS = 1e11
_NEVER_SECONDS = 2 * 86400.0
"""Braze writes 1970-01-01, in any time zone, for a canvas without entries."""

Content = Mapping[str, object]
"""The details as Braze sends them."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One object of the list."""

    id: str
    name: str
    """Empty if Braze gave none."""
    last_edited: str = ""
    """Verbatim, compared for equality only. Empty if absent."""
    edited_at: float = 0.0
    """The same in Unix seconds, 0 if it is no date."""
    tags: tuple[str, ...] = ()
    missing_since: float | None = None
    """When it was first absent from a complete list."""


@dataclass(frozen=True, slots=True)
class Details:
    """Details of one object, read at `read_at`."""

    last_edited: str
    """That of the list at the time of the request."""
    read_at: float
    is_known: bool = True
    """False: Braze refused them, or they cannot be parsed."""
    is_draft: bool = False
    is_archived: bool = False
    is_stopped: bool = False
    """Of a canvas only: figures of a stopped campaign still change."""
    last_active_at: float | None = None
    """The last send, or entry into a canvas. None: never, according to Braze."""
    channels: tuple[str, ...] = ()
    """Data series may spell them differently."""

    @property
    def is_dormant(self) -> bool:
        """Whether no activity is expected."""
        return self.is_archived or self.is_draft or self.is_stopped


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of the list."""

    objects: tuple[Listed, ...]
    entries: int
    """Number of entries, including unusable ones."""

    @property
    def is_last(self) -> bool:
        """Whether this is the last page."""
        return self.entries < FULL_PAGE


def key(object_id: str) -> str:
    """Return the key of an id: UUIDs ignore case (RFC 9562)."""
    return object_id.lower()


def parse_page(document: object, *, plural: str) -> ListPage:
    """Parse one page of the list. Entries without a usable id are skipped."""
    what = f"the list of {plural}"
    entries = _success(document, what).get(plural)
    if not isinstance(entries, list):
        message = f"{what}: expected a list at {plural}"
        raise MalformedCatalogue(message)
    return ListPage(tuple(_listed(entries)), len(entries))


def parse_details(
    document: object,
    read: Callable[[Content, Details], Details],
    *,
    kind: str,
    last_edited: str,
    read_at: float,
) -> Details:
    """Parse the details of an object; `last_edited` is that of the list."""
    content = _success(document, f"the details of a {kind}")
    common = Details(
        last_edited=last_edited,
        read_at=read_at,
        is_draft=content.get("draft") is True,
        is_archived=content.get("archived") is True,
        channels=_texts(content.get("channels")),
    )
    return read(content, common)


def campaign_details(content: Content, common: Details) -> Details:
    """Add what only the details of a campaign contain."""
    messages = content.get("messages")
    sent = messages.values() if isinstance(messages, dict) else ()
    channels = [one.get("channel") for one in sent if isinstance(one, dict)]
    return replace(
        common,
        last_active_at=_instant(content.get("last_sent")),
        channels=_texts(channels) or common.channels,
    )


def canvas_details(content: Content, common: Details) -> Details:
    """Add what only the details of a canvas contain."""
    entered_at = _instant(content.get("last_entry"))
    if entered_at is not None and entered_at < _NEVER_SECONDS:
        entered_at = None
    return replace(
        common,
        is_stopped=content.get("enabled") is False,
        last_active_at=entered_at,
        channels=common.channels or _texts(list(_step_channels(content))),
    )


def _step_channels(content: Content) -> Iterator[object]:
    steps = content.get("steps")
    for step in steps if isinstance(steps, list) else ():
        channels = step.get("channels") if isinstance(step, dict) else None
        yield from channels if isinstance(channels, list) else ()


def _success(document: object, what: str) -> dict[str, object]:
    if not isinstance(document, dict):
        message = f"{what}: expected a JSON object"
        raise MalformedCatalogue(message)
    # Absent in some of Braze's samples: only another text means a failure.
    if document.get("message", "success") != "success":
        message = f"{what}: its message is not success"
        raise MalformedCatalogue(message)
    return document


def _listed(entries: list[object]) -> Iterator[Listed]:
    for entry in entries:
        id_ = entry.get("id") if isinstance(entry, dict) else None
        if isinstance(entry, dict) and isinstance(id_, str) and is_usable(id_):
            last_edited = _text(entry.get("last_edited"))
            yield Listed(
                id=id_,
                name=_text(entry.get("name")),
                last_edited=last_edited,
                edited_at=_instant(last_edited) or 0.0,
                tags=_texts(entry.get("tags")),
            )


def is_usable(id_: str) -> bool:
    """Return whether an id can be a label and part of a URL without escaping."""
    return "" != id_ == clean(id_) and id_.isprintable() and " " not in id_


def _texts(value: object) -> tuple[str, ...]:
    """Return the distinct texts of a list without the nulls that Braze sends."""
    if not isinstance(value, list):
        return ()
    texts = (_text(item) for item in value[:_MAX_TEXTS])
    return tuple(dict.fromkeys(text for text in texts if text))


def _text(value: object) -> str:
    """Return a text cut to the length of a label, or empty if it is no text."""
    return value[:LONGEST] if isinstance(value, str) else ""


def _instant(value: object) -> float | None:
    """Return the Unix seconds of an ISO 8601 text; without an offset it is UTC."""
    try:
        instant = datetime.fromisoformat(value if isinstance(value, str) else "")
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=UTC)
        seconds = instant.timestamp()
    except (ValueError, OverflowError):
        return None
    # Later instants are no dates of Braze, and some time zones cannot show them.
    return seconds if 0 <= seconds < _MAX_SECONDS else None
