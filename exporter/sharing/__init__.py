"""Several exporters that share their work by Redis."""
