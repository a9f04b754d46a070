"""Tests of `exporter.discovery`."""
