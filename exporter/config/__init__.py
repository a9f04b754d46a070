"""Configuration files: YAML text is parsed and validated into `model.config` values."""
