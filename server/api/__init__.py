"""What partners reach over HTTPS beside Flower: joining, tasks, acceptances, releases."""

from server.api.routes import public_api

__all__ = ["public_api"]
