"""Tests of the Helm chart, rendered by Helm itself."""
