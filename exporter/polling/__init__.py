"""Polling: the plan, the request queue, the scheduler and the poller."""
