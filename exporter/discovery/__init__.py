"""Discovery: Braze's lists and details are matched against selection rules."""
