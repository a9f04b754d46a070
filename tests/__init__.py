"""The specification, and what several of its files share."""
