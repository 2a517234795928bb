"""The SuperLink process of a coordinator, and what starts, stops and lists the runs of its tasks."""

from server.superlink.control import Run, runs, start_run, stop_run

__all__ = ["Run", "runs", "start_run", "stop_run"]
