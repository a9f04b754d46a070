"""Tests of `exporter.sharing`."""
