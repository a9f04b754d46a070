"""Makes the dashboards in `grafana/dashboards`.

`python -m grafana.generator` writes them. The same sources give the same bytes.
"""
