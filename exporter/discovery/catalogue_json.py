"""Catalogues of discovery as JSON documents and back, for keeping them over a restart.

Any text at all gives the catalogue that was packed, or ValueError.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import blake2b

from exporter.braze.hosts import without_default_port
from exporter.discovery.catalogue import CampaignCatalogue
from exporter.discovery.documents import Details, Listed, is_usable, key
from exporter.model.config import WorkspaceConfig
from exporter.model.json_values import boolean, instant, items, mapping, text

Account = tuple[str, str, str]
"""A workspace's name, its endpoint and a fingerprint of its API key.

Earlier versions wrote the source of the key in place of the fingerprint.
"""

_FINGERPRINT_BYTES = 8


def account_of(workspace: WorkspaceConfig, key: str | None) -> Account:
    """Return the account of a workspace; without a key, by where it is read from.

    The fingerprint is too short to reveal a key, and differs between endpoints.
    """
    endpoint = without_default_port(workspace.endpoint)
    if key is None:
        return workspace.name, endpoint, str(workspace.key_source)
    content = f"{endpoint}\n{key}".encode(errors="surrogatepass")
    digest = blake2b(content, digest_size=_FINGERPRINT_BYTES, person=b"braze-exporter")
    return workspace.name, endpoint, f"key {digest.hexdigest()}"


def catalogue_of(
    catalogues: Mapping[Account, CampaignCatalogue],
    workspace: WorkspaceConfig,
    key: str | None,
) -> CampaignCatalogue | None:
    """Return the known catalogue of a workspace; None: there is none.

    With another key it is provisional: a replaced key is mostly of the same workspace.
    """
    wanted = account_of(workspace, key)
    for account in (wanted, account_of(workspace, None)):
        if account in catalogues:
            return catalogues[account]
    for account, catalogue in catalogues.items():
        if account[:2] == wanted[:2]:
            return catalogue.provisional()
    return None


def pack(catalogue: CampaignCatalogue) -> str:
    """Return the document of a catalogue, in ASCII."""
    return json.dumps(
        {
            "listed_at": catalogue.listed_at,
            "is_provisional": catalogue.is_provisional,
            "campaigns": [asdict(one) for one in catalogue.campaigns.values()],
            "details": {id_: asdict(one) for id_, one in catalogue.details.items()},
        }
    )


def unpack(document: str, *, now: float) -> CampaignCatalogue:
    """Return what was packed; an instant after `now` becomes `now`.

    The wall clock was set back since such an instant was packed.
    """
    try:
        return _catalogue(mapping(json.loads(document)), now)
    except (ValueError, KeyError, RecursionError) as error:
        message = "not a catalogue as this version writes it"
        raise ValueError(message) from error


def unpack_legacy(content: bytes, *, now: float) -> dict[Account, CampaignCatalogue]:
    """Return what a discovery.json of the first format holds, or raise ValueError."""
    catalogues = {}
    try:
        document = mapping(json.loads(content))
        for one in map(mapping, items(document["workspaces"])):
            account = (
                text(one["name"]),
                text(one["endpoint"]),
                text(one["key_source"]),
            )
            catalogues[account] = _catalogue(one, now)
    except (ValueError, KeyError, RecursionError) as error:
        message = "it is damaged"
        raise ValueError(message) from error
    return catalogues


def _catalogue(packed: Mapping[str, object], now: float) -> CampaignCatalogue:
    campaigns = [_listed(one, now) for one in items(packed["campaigns"])]
    details = mapping(packed["details"])
    return CampaignCatalogue(
        campaigns={key(one.id): one for one in campaigns},
        details={id_: _details(one, now) for id_, one in details.items()},
        listed_at=_past(packed["listed_at"], now),
        is_provisional=boolean(packed.get("is_provisional", False)),
    )


def _listed(packed: object, now: float) -> Listed:
    fields = mapping(packed)
    if not is_usable(text(fields["id"])):
        raise ValueError("expected an id of a campaign")
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
    sent_at = fields["last_sent_at"]
    return Details(
        last_edited=text(fields["last_edited"]),
        read_at=min(instant(fields["read_at"]), now),
        is_known=boolean(fields["is_known"]),
        is_draft=boolean(fields["is_draft"]),
        is_archived=boolean(fields["is_archived"]),
        last_sent_at=None if sent_at is None else instant(sent_at),
        channels=tuple(map(text, items(fields["channels"]))),
    )


def _past(value: object, now: float) -> float | None:
    return None if value is None else min(instant(value), now)
