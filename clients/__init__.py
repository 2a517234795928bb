"""One party: its data, consent, budget, gates and running node."""
