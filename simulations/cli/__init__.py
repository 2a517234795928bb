"""Command lines of whole federations: one module per command, mounted by the entry points of pyproject.toml."""
