"""The operating system: files, keys, clocks, signals and logging."""
