"""Figures of Braze's campaigns, canvases and workspaces as Prometheus metrics."""

__version__ = "0.1.0"
