"""Tests of `exporter.backfill`."""
