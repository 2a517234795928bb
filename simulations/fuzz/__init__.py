"""Mutated messages and documents against every decoder: a value or a clean error, nothing else."""
