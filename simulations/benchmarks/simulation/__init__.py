"""How fast whole federations are simulated: ours against a plain loop, pfl and Flower's own engine, on one machine."""
