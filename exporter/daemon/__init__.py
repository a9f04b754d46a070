"""The daemon process: wiring, startup, reload and shutdown."""
