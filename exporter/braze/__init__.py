"""The Braze REST API: connections, responses, rate limits and retries."""
