"""Tests of `exporter.system`."""
