"""Kills processes of a running federation at random instants, then proves that nothing was lost or doubled."""
