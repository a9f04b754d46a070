"""Tests of one module each; the folders are those of the package."""
