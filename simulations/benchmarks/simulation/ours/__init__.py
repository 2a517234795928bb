"""Programs of the comparison that are ours; each answers the same question as a peer, in a process of its own."""
