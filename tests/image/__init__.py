"""Tests of the container image and of the compose file."""
