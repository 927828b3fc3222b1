"""An application that is made anew when its content changes, for people who write content; never for production.

What cannot be loaded replaces nothing: the application that served goes on, and the log says what to mend.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from cds.errors import CdsError

_log = logging.getLogger("cds.reloading")

#: What each file was when it was looked at: its time of change in nanoseconds, and its size.
Stamp = Mapping[Path, tuple[int, int]]


class Application(Protocol):
    """A WSGI application (PEP 3333)."""

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]: ...


App = TypeVar("App", bound=Application)


class Reloading(Generic[App]):
    """`current` is the application that answers; a request that is under way ends where it began."""

    def __init__(self, first: App, folders: Iterable[Path], make: Callable[[], App], retire: Callable[[App], None]):
        """`make` gives the application as the `folders` are now; `retire` is told of each that is replaced."""
        self.current = first
        self._folders = tuple(folders)
        self._make, self._retire = make, retire
        self._loaded = self._last = self._stamp()

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        return self.current(environ, start_response)

    def check(self) -> bool:
        """Replaces the application if its content has changed and rests: whether it did.

        Content rests when two looks find the same: an editor, or a translation, writes several files in turn.
        """
        now = self._stamp()
        rests, self._last = now == self._last, now
        if now == self._loaded or not rests:
            return False
        self._loaded = now
        try:
            made = self._make()
        except CdsError as error:
            _log.error("the content has changed and is not loaded; what was loaded before goes on: %s", error)
            return False
        replaced, self.current = self.current, made
        self._retire(replaced)
        _log.warning("the content has changed and is loaded anew")
        return True

    def watch(self, seconds: float, stop: threading.Event) -> None:
        """Checks again and again until told to stop."""
        while not stop.wait(seconds):
            try:
                self.check()
            except Exception:
                _log.exception("the content cannot be watched")

    def _stamp(self) -> Stamp:
        found: dict[Path, tuple[int, int]] = {}
        for path in (path for folder in self._folders for path in folder.rglob("*")):
            try:
                state = path.stat()
            except OSError:  # it went between the look and this one
                continue
            if path.is_file():
                found[path] = (state.st_mtime_ns, state.st_size)
        return found
