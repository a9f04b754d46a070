"""Prometheus metrics: snapshots are rendered once, stored, and joined into pages."""
