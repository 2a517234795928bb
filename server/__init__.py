"""One coordinator: parties, tasks, rounds and releases."""
