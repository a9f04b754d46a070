"""Catalogues of discovery as JSON documents and back, for keeping them over a restart.

Any text at all gives the catalogue that was packed, or ValueError.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

from exporter.braze.hosts import fingerprint, without_default_port
from exporter.discovery.catalogue import ObjectCatalogue
from exporter.discovery.documents import Details, Listed, is_usable, key
from exporter.discovery.kinds import CAMPAIGN, ListedKind
from exporter.model.config import WorkspaceConfig
from exporter.model.json_values import boolean, instant, items, mapping, text

CatalogueKey = tuple[str, str, str, str]
"""A workspace's name, its endpoint, the kind, and a fingerprint of the API key.

Earlier versions wrote the source of the key in place of the fingerprint.
"""


def catalogue_key(
    workspace: WorkspaceConfig, kind: ListedKind, key: str | None
) -> CatalogueKey:
    """Return the key of a catalogue; without an API key, by where that is read from.

    The fingerprint is too short to reveal a key, and differs between endpoints.
    """
    endpoint = without_default_port(workspace.endpoint)
    if key is None:
        return workspace.name, endpoint, kind.name, str(workspace.key_source)
    digest = fingerprint(f"{endpoint}\n{key}")
    return workspace.name, endpoint, kind.name, f"key {digest}"


def catalogue_of(
    catalogues: Mapping[CatalogueKey, ObjectCatalogue],
    workspace: WorkspaceConfig,
    kind: ListedKind,
    key: str | None,
) -> ObjectCatalogue | None:
    """Return the known catalogue of a kind in a workspace; None: there is none.

    With another key it is provisional: a replaced key is mostly of the same workspace.
    """
    wanted = catalogue_key(workspace, kind, key)
    for one in (wanted, catalogue_key(workspace, kind, None)):
        if one in catalogues:
            return catalogues[one]
    for one, catalogue in catalogues.items():
        if is_same_place(one, wanted):
            return catalogue.provisional()
    return None


def is_same_place(one: CatalogueKey, other: CatalogueKey) -> bool:
    """Return whether both are of the same kind, workspace and endpoint."""
    return one[:3] == other[:3]


def pack(catalogue: ObjectCatalogue) -> str:
    """Return the document of a catalogue, in ASCII."""
    return json.dumps(
        {
            "listed_at": catalogue.listed_at,
            "is_provisional": catalogue.is_provisional,
            "objects": [asdict(one) for one in catalogue.objects.values()],
            "details": {id_: asdict(one) for id_, one in catalogue.details.items()},
        }
    )


def unpack(document: str, *, now: float) -> ObjectCatalogue:
    """Return what was packed; an instant after `now` becomes `now`.

    The wall clock was set back since such an instant was packed.
    """
    try:
        return _catalogue(mapping(json.loads(document)), now)
    except (ValueError, KeyError, RecursionError) as error:
        message = "not a catalogue as this version writes it"
        raise ValueError(message) from error


def unpack_legacy(content: bytes, *, now: float) -> dict[CatalogueKey, ObjectCatalogue]:
    """Return what a discovery.json of the first format holds, or raise ValueError."""
    catalogues = {}
    try:
        document = mapping(json.loads(content))
        for one in map(mapping, items(document["workspaces"])):
            key_ = (
                text(one["name"]),
                text(one["endpoint"]),
                CAMPAIGN.name,
                text(one["key_source"]),
            )
            catalogues[key_] = _catalogue(one, now)
    except (ValueError, KeyError, RecursionError) as error:
        message = "it is damaged"
        raise ValueError(message) from error
    return catalogues


def _catalogue(packed: Mapping[str, object], now: float) -> ObjectCatalogue:
    # Documents of version 0.1 are of campaigns.
    listed = packed["objects"] if "objects" in packed else packed["campaigns"]
    objects = [_listed(one, now) for one in items(listed)]
    details = mapping(packed["details"])
    return ObjectCatalogue(
        objects={key(one.id): one for one in objects},
        details={id_: _details(one, now) for id_, one in details.items()},
        listed_at=_past(packed["listed_at"], now),
        is_provisional=boolean(packed.get("is_provisional", False)),
    )


def _listed(packed: object, now: float) -> Listed:
    fields = mapping(packed)
    if not is_usable(text(fields["id"])):
        raise ValueError("expected an id")
    return Listed(
        id=text(fields["id"]),
        name=text(fields["name"]),
        last_edited=text(fields["last_edited"]),
        edited_at=instant(fields["edited_at"]),
        tags=tuple(map(text, items(fields["tags"]))),
        missing_since=_past(fields["missing_since"], now),
    )


def _details(packed: object, now: float) -> Details:
    fields = mapping(packed)
    is_older = "last_sent_at" in fields  # of version 0.1
    active_at = fields["last_sent_at" if is_older else "last_active_at"]
    return Details(
        last_edited=text(fields["last_edited"]),
        read_at=min(instant(fields["read_at"]), now),
        is_known=boolean(fields["is_known"]),
        is_draft=boolean(fields["is_draft"]),
        is_archived=boolean(fields["is_archived"]),
        is_stopped=boolean(fields.get("is_stopped", False)),
        last_active_at=None if active_at is None else instant(active_at),
        channels=tuple(map(text, items(fields["channels"]))),
    )


def _past(value: object, now: float) -> float | None:
    return None if value is None else min(instant(value), now)
