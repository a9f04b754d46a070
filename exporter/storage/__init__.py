"""State on disk: the last values and what discovery found, kept over a restart."""
