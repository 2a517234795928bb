"""The mathematics of person-level differential privacy; imports nothing of ours."""
