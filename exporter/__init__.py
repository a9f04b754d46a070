"""Figures of Braze's campaigns and canvases as Prometheus metrics."""

__version__ = "0.1.0"
