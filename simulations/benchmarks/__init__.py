"""Measurements with their commands; each module writes raw JSON and a table."""
