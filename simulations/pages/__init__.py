"""What the pages of the demo, of simulations and of comparisons have in common: style, tables, plots."""
