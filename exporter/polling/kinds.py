"""What is polled: each kind of object with its endpoint and its parser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from exporter.braze import paths
from exporter.braze.session import CAMPAIGN_ANALYTICS
from exporter.metrics import campaign_metrics
from exporter.metrics.campaign_metrics import ObjectLabels, PollStatus, RenderedObject
from exporter.model.snapshot import Snapshot
from exporter.series import incremental


class Kind(NamedTuple):
    """A kind of object that Braze has data series of."""

    name: str
    """Also the name of its label."""
    path: str
    bucket: str
    """The bucket of Braze that its requests count against."""
    id_parameter: str
    read: Callable[..., incremental.ParsedDocument]
    """Parses a document; raises `MalformedSeries`."""
    render_values: Callable[[ObjectLabels, Snapshot], RenderedObject]
    render_renewed: Callable[[ObjectLabels, Snapshot, RenderedObject], RenderedObject]
    """Renders a snapshot in which only the newest day differs from that rendered."""
    render_status: Callable[[ObjectLabels, PollStatus], RenderedObject]

    def parameters(self, object_id: str, *, days: int) -> Mapping[str, str | int]:
        """Return the query of one poll."""
        return {self.id_parameter: object_id, "length": days}


CAMPAIGN = Kind(
    name="campaign",
    path=paths.CAMPAIGN_DATA_SERIES,
    bucket=CAMPAIGN_ANALYTICS,
    id_parameter="campaign_id",
    read=incremental.parse,
    render_values=campaign_metrics.render_values,
    render_renewed=campaign_metrics.renew_latest,
    render_status=campaign_metrics.render_status,
)
