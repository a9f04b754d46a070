"""Tests of `exporter.series`."""
