"""Programs of the comparison that know no paceline; each runs inside of its own environment."""
