"""A party's rows: how files become rows of a workload, and how rows are read again."""
