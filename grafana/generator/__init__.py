"""Generates the dashboards in `grafana/dashboards`.

`python -m grafana.generator` writes them. The output is deterministic.
"""
