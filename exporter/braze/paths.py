"""Paths of the Braze API that are requested, without the leading slash."""

from __future__ import annotations

CAMPAIGN_DATA_SERIES = "campaigns/data_series"
CAMPAIGN_LIST = "campaigns/list"
CAMPAIGN_DETAILS = "campaigns/details"
