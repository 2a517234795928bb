"""A federation of real processes on free ports, with an echo in place of training."""
