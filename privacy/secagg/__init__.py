"""Secure aggregation: a coordinator learns the sum of what parties send, and nothing of any one (Bonawitz et al. 2017).

No network, no signatures, no clock: who may take part, and who counts as dropped, is decided in the rounds.
"""
