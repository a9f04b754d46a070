"""Tests of the recording and alerting rules."""
