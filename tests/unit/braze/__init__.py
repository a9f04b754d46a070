"""Tests of `exporter.braze`."""
