"""What person-level differential privacy costs: by ε, by how many people there are, by what is done about it.

Run: ``python -m simulations.benchmarks.privacy_utility``. A simulation with seeded noise: no privacy claim.
"""
