"""Catalogues of discovery as JSON documents and back, for keeping them over a restart.

Any text at all gives the catalogue that was packed, or ValueError.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from exporter.discovery.documents import Details, Listed, key
from exporter.discovery.rules import CampaignCatalogue

Account = tuple[str, str, str]
"""A workspace's name, its endpoint and the source of its API key.

The catalogue of one account does not apply to another.
"""

_LEGACY_VERSION = 1
_FAULTS = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,
)


def pack(catalogue: CampaignCatalogue) -> str:
    """Return the document of a catalogue, in ASCII."""
    return json.dumps(
        {
            "listed_at": catalogue.listed_at,
            "campaigns": [asdict(one) for one in catalogue.campaigns.values()],
            "details": {id_: asdict(one) for id_, one in catalogue.details.items()},
        }
    )


def unpack(document: str, *, now: float) -> CampaignCatalogue:
    """Return what was packed; an instant after `now` becomes `now`.

    The wall clock was set back since such an instant was packed.
    """
    try:
        return _catalogue(json.loads(document), now)
    except _FAULTS as error:
        message = "not a catalogue as this version writes it"
        raise ValueError(message) from error


def unpack_legacy(content: bytes, *, now: float) -> dict[Account, CampaignCatalogue]:
    """Return what a discovery.json of earlier versions holds, or raise ValueError."""
    try:
        document = json.loads(content)
        if document["version"] != _LEGACY_VERSION:
            message = f"its format is not {_LEGACY_VERSION}"
            raise ValueError(message)
        return {
            (
                _text(one["name"]),
                _text(one["endpoint"]),
                _text(one["key_source"]),
            ): _catalogue(one, now)
            for one in document["workspaces"]
        }
    except _FAULTS as error:
        message = f"{error}" if isinstance(error, ValueError) else "it is damaged"
        raise ValueError(message) from error


def _catalogue(document: dict[str, Any], now: float) -> CampaignCatalogue:
    listed_at = document["listed_at"]
    campaigns = [_listed(one, now) for one in document["campaigns"]]
    return CampaignCatalogue(
        campaigns={key(one.id): one for one in campaigns},
        details={
            _text(id_): _details(one, now) for id_, one in document["details"].items()
        },
        listed_at=None if listed_at is None else _past(listed_at, now),
    )


def _listed(document: dict[str, Any], now: float) -> Listed:
    missing_since = document["missing_since"]
    return Listed(
        id=_text(document["id"]),
        name=_text(document["name"]),
        last_edited=_text(document["last_edited"]),
        edited_at=_instant(document["edited_at"]),
        tags=tuple(map(_text, document["tags"])),
        missing_since=None if missing_since is None else _past(missing_since, now),
    )


def _details(document: dict[str, Any], now: float) -> Details:
    last_sent_at = document["last_sent_at"]
    return Details(
        last_edited=_text(document["last_edited"]),
        read_at=_past(document["read_at"], now),
        is_known=document["is_known"] is True,
        is_draft=document["is_draft"] is True,
        is_archived=document["is_archived"] is True,
        last_sent_at=None if last_sent_at is None else _instant(last_sent_at),
        channels=tuple(map(_text, document["channels"])),
    )


def _past(value: object, now: float) -> float:
    return min(_instant(value), now)


def _instant(value: object) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]  # it is a number
        message = "expected a number of seconds"
        raise ValueError(message)
    return float(value)  # type: ignore[arg-type]  # it is a number


def _text(value: object) -> str:
    if not isinstance(value, str):
        message = "expected a text"
        raise ValueError(message)
    return value
