"""History: complete days are downloaded and written as OpenMetrics."""
