"""Processes that do work: agents (`agent`), and the dispatchers at the front door (`dispatcher`)."""
