"""Whole federations on one machine: the demo, loopback links, attacks and benchmarks."""
