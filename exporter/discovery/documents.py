"""What Braze tells of campaigns apart from their figures: its list and its details.

Any JSON at all gives frozen values or `MalformedCatalogue`. Names, tags and channels
are kept as Braze spells them; one odd entry costs itself and no other. It knows nothing
of which campaigns are wanted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from exporter.model.errors import MalformedCatalogue
from exporter.model.labels import LONGEST, clean

FULL_PAGE = 100
"""Braze's page size: a shorter page is the last one."""

_MOST_TEXTS = 100
"""Of one campaign's tags or messages; Braze's own have a few."""

_LATEST = 1e11


@dataclass(frozen=True, slots=True)
class Listed:
    """One campaign as the list has it."""

    id: str
    name: str
    """Empty if Braze gave none."""
    last_edited: str = ""
    """Verbatim: only whether it moved matters. Empty if not told."""
    edited_at: float = 0.0
    """The same as an instant, 0 where it is none."""
    tags: tuple[str, ...] = ()
    missing_since: float | None = None
    """When a list first came without it."""


@dataclass(frozen=True, slots=True)
class Details:
    """What the details say of one campaign, as of `read_at`."""

    last_edited: str
    """The list's, when they were asked for."""
    read_at: float
    is_known: bool = True
    """False: Braze refused them, or they were no use."""
    is_draft: bool = False
    is_archived: bool = False
    last_sent_at: float | None = None
    """None: never, as far as Braze says."""
    channels: tuple[str, ...] = ()
    """Of its messages, else of the campaign; spelled as here, not as data series do."""


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of the list."""

    campaigns: tuple[Listed, ...]
    entries: int
    """How many it held, whatever they were."""

    @property
    def is_last(self) -> bool:
        """Whether no page follows."""
        return self.entries < FULL_PAGE


def key(campaign_id: str) -> str:
    """Return by what an id is recognised: a UUID is the same in capitals (RFC 9562)."""
    return campaign_id.lower()


def read_page(document: object) -> ListPage:
    """Read one page. Entries without a usable id are passed over."""
    entries = _success(document, "the list of campaigns").get("campaigns")
    if not isinstance(entries, list):
        message = "the list of campaigns: expected a list at campaigns"
        raise MalformedCatalogue(message)
    return ListPage(tuple(_listed(entries)), len(entries))


def read_details(document: object, *, last_edited: str, read_at: float) -> Details:
    """Read the details of a campaign that the list last said was edited then."""
    content = _success(document, "the details of a campaign")
    return Details(
        last_edited=last_edited,
        read_at=read_at,
        is_draft=content.get("draft") is True,
        is_archived=content.get("archived") is True,
        last_sent_at=_instant(content.get("last_sent")),
        channels=_message_channels(content) or _texts(content.get("channels")),
    )


def _success(document: object, what: str) -> dict[str, object]:
    if not isinstance(document, dict):
        message = f"{what}: expected a JSON object"
        raise MalformedCatalogue(message)
    # Left out in some of Braze's samples: only another text means a failure.
    if document.get("message", "success") != "success":
        message = f"{what}: its message is not success"
        raise MalformedCatalogue(message)
    return document


def _listed(entries: list[object]) -> Iterator[Listed]:
    for entry in entries:
        id_ = entry.get("id") if isinstance(entry, dict) else None
        if isinstance(entry, dict) and isinstance(id_, str) and _is_usable(id_):
            last_edited = _text(entry.get("last_edited"))
            yield Listed(
                id=id_,
                name=_text(entry.get("name")),
                last_edited=last_edited,
                edited_at=_instant(last_edited) or 0.0,
                tags=_texts(entry.get("tags")),
            )


def _is_usable(id_: str) -> bool:
    """Tell whether an id can be a label and the end of a URL as it is."""
    return "" != id_ == clean(id_) and id_.isprintable() and " " not in id_


def _message_channels(content: dict[str, object]) -> tuple[str, ...]:
    messages = content.get("messages")
    if not isinstance(messages, dict):
        return ()
    return _texts(
        [
            message.get("channel")
            for message in messages.values()
            if isinstance(message, dict)
        ]
    )


def _texts(value: object) -> tuple[str, ...]:
    """Return the texts of a list, each once; Braze has nulls among them."""
    if not isinstance(value, list):
        return ()
    texts = (_text(item) for item in value[:_MOST_TEXTS])
    return tuple(dict.fromkeys(text for text in texts if text))


def _text(value: object) -> str:
    """Return a text as far as a label could show it, nothing for what is none."""
    return value[:LONGEST] if isinstance(value, str) else ""


def _instant(value: object) -> float | None:
    """Return the instant of an ISO-8601 text, without an offset one of UTC."""
    try:
        instant = datetime.fromisoformat(value if isinstance(value, str) else "")
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=UTC)
        seconds = instant.timestamp()
    except (ValueError, OverflowError):
        return None
    # What lies further off is no date of a campaign, and not every zone can show it.
    return seconds if 0 <= seconds < _LATEST else None
