"""Immutable values: configuration, snapshots, labels and errors."""
