"""How long each stage of a request takes."""

from __future__ import annotations

from time import perf_counter


class Laps:
    """A stopwatch with laps: each stage ends where the next begins."""

    def __init__(self) -> None:
        self._started = self._last = perf_counter()
        self._seconds: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        """Ends a stage. A stage that comes again is added to."""
        now = perf_counter()
        self._seconds[stage] = self._seconds.get(stage, 0.0) + now - self._last
        self._last = now

    @property
    def seconds(self) -> float:
        """The time since the start."""
        return perf_counter() - self._started

    @property
    def milliseconds(self) -> dict[str, float]:
        """The stages so far, in their order."""
        return {stage: round(1000 * seconds, 1) for stage, seconds in self._seconds.items()}
