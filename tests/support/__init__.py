"""Shared parts of the tests that drive real processes over real sockets. Standard library only."""
