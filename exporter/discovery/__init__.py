"""Campaign discovery: Braze's list and details are matched against selection rules."""
