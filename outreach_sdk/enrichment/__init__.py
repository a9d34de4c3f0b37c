"""Whoever knows people's addresses and numbers."""
