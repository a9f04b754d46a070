"""The kinds of objects that Braze lists: paths, keys of the documents, and options."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from exporter.braze import paths
from exporter.discovery import documents
from exporter.discovery.documents import Content, Details
from exporter.model.config import DiscoverRules, ObjectConfig, WorkspaceConfig


class ListedKind(NamedTuple):
    """A kind of object that Braze has a list and details of."""

    name: str
    plural: str
    """Also the key of the objects in the list."""
    list_path: str
    details_path: str
    id_parameter: str
    read_details: Callable[[Content, Details], Details]
    """(details, without what differs between kinds) → with it."""
    activity: str
    """The option about the last activity."""
    last_active: str
    """What the last activity is called."""
    rules: Callable[[WorkspaceConfig], DiscoverRules | None]
    """None: the kind is not discovered."""
    objects: Callable[[WorkspaceConfig], tuple[ObjectConfig, ...]]
    """Those that are configured."""
    new_object: Callable[[WorkspaceConfig, str, str], ObjectConfig]
    """(workspace, id, name) → the object with the defaults of the workspace."""

    @property
    def paths(self) -> tuple[str, str]:
        """The paths of both requests."""
        return (self.list_path, self.details_path)

    def rules_of(self, workspace: WorkspaceConfig) -> DiscoverRules:
        """Return the rules of a workspace. ValueError: it has none for the kind."""
        rules = self.rules(workspace)
        if rules is None:
            message = f"no discovery of {self.plural} is configured in {workspace.name}"
            raise ValueError(message)
        return rules

    @property
    def max_option(self) -> str:
        """The option that limits the number of objects."""
        return f"discover.{self.plural}.max"


CAMPAIGN = ListedKind(
    name="campaign",
    plural="campaigns",
    list_path=paths.CAMPAIGN_LIST,
    details_path=paths.CAMPAIGN_DETAILS,
    id_parameter="campaign_id",
    read_details=documents.campaign_details,
    activity="sent_within",
    last_active="last sent",
    rules=lambda workspace: workspace.discover and workspace.discover.campaigns,
    objects=lambda workspace: workspace.campaigns,
    new_object=lambda workspace, id_, name: ObjectConfig(
        id_, name, workspace.interval_seconds
    ),
)
CANVAS = ListedKind(
    name="canvas",
    plural="canvases",
    list_path=paths.CANVAS_LIST,
    details_path=paths.CANVAS_DETAILS,
    id_parameter="canvas_id",
    read_details=documents.canvas_details,
    activity="entered_within",
    last_active="last entered",
    rules=lambda workspace: workspace.discover and workspace.discover.canvases,
    objects=lambda workspace: workspace.canvases,
    new_object=lambda workspace, id_, name: ObjectConfig(
        id_,
        name,
        workspace.canvas_interval_seconds,
        has_steps=workspace.canvas_steps,
    ),
)
KINDS = (CAMPAIGN, CANVAS)


def kinds_of(workspace: WorkspaceConfig) -> tuple[ListedKind, ...]:
    """Return the kinds that are discovered in a workspace."""
    return tuple(kind for kind in KINDS if kind.rules(workspace))
