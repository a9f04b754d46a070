"""The requests of discovery: their paths and parameters, and what responses contain."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from exporter.discovery import documents
from exporter.discovery.documents import Details, ListPage
from exporter.discovery.kinds import ListedKind
from exporter.discovery.rules import NextRequest, PageWanted
from exporter.model.config import DiscoverRules
from exporter.model.errors import MalformedCatalogue


def path(kind: ListedKind, wanted: NextRequest) -> str:
    """Return the path of a request."""
    return kind.list_path if isinstance(wanted, PageWanted) else kind.details_path


def parameters(
    kind: ListedKind, wanted: NextRequest, settings: DiscoverRules
) -> Mapping[str, str | int]:
    """Return the parameters of a request."""
    if not isinstance(wanted, PageWanted):
        return {kind.id_parameter: wanted.listed.id}
    archived = "true" if settings.include_archived else "false"
    return {"page": wanted.page, "include_archived": archived}


def parse(
    kind: ListedKind,
    wanted: NextRequest,
    document: object,
    *,
    now: Callable[[], float],
) -> Details | ListPage | MalformedCatalogue:
    """Return what a response contains, or why it is unusable."""
    try:
        if isinstance(wanted, PageWanted):
            return documents.parse_page(document, plural=kind.plural)
        return documents.parse_details(
            document,
            kind.read_details,
            kind=kind.name,
            last_edited=wanted.listed.last_edited,
            read_at=now(),
        )
    except MalformedCatalogue as error:
        text = str(error)
    return MalformedCatalogue(text)  # without a traceback that holds the document
