"""Tests of the running program: processes, sockets, commands."""
