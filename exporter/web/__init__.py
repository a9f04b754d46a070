"""The HTTP server: connections, TLS, authentication and routes."""
