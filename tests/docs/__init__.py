"""Tests of the documentation, the package and the repository."""
