"""A simulated Braze: generated figures of one workspace, with faults on demand.

The same seed, object, day and clock always give the same figures. Only the standard
library is imported: shared code would hide the exporter's misunderstandings of the API.
"""

from exporter.simulator.canvas_fleet import Canvas, Step, Variant
from exporter.simulator.faults import Delivery, Fault
from exporter.simulator.fleet import Campaign, Message
from exporter.simulator.objects import Incident
from exporter.simulator.request_log import LoggedRequest
from exporter.simulator.server import Simulator
from exporter.simulator.settings import (
    ALL_PERMISSIONS,
    DEFAULT_API_KEY,
    RateLimit,
    SimulatorSettings,
)
from exporter.simulator.workspace_specs import Event, Integration, Segment

__all__ = [
    "ALL_PERMISSIONS",
    "DEFAULT_API_KEY",
    "Campaign",
    "Canvas",
    "Delivery",
    "Event",
    "Fault",
    "Incident",
    "Integration",
    "LoggedRequest",
    "Message",
    "RateLimit",
    "Segment",
    "Simulator",
    "SimulatorSettings",
    "Step",
    "Variant",
]
