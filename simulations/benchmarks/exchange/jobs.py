"""What a part of the benchmark offers to be measured, and what was found."""

from collections.abc import Callable, Mapping
from typing import Any

Job = Callable[[], Any]
"""One measurement; what it returns can be written as JSON."""

Found = Mapping[str, Any]
"""What the finished jobs of a part found, by name."""
