"""The coordinator's ServerApp: an executor that fetches Flower's tasks and runs each with installed code."""
