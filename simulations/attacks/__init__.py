"""Attacks on simulated federations, each beside the same attack on an unprotected one: what protection buys."""
