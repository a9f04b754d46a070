"""How fast the exporter is beside what a user would otherwise have: `make bench`."""
