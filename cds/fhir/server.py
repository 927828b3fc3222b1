"""FHIR REST over requests: reads and searches within one deadline, whatever the server does.

A server may hang, drip, lie, die, or send without end. Each of these ends in an `Answer` that says in words what
could not be read and why: never in an exception, never later than the deadline, never in more memory than the limits
allow. Nothing that the server wrote is repeated in those words, and neither are addresses or the token.
"""

from __future__ import annotations

import logging
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse
from io import BufferedReader, RawIOBase
from socket import socket
from threading import Lock, Thread
from time import monotonic, sleep
from typing import Any

import orjson
import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from cds.errors import RecordError, place_of
from cds.fhir.allowlist import Allowlist, Base, Origin, follow
from cds.fhir.searchset import Page

Json = dict[str, Any]

_log = logging.getLogger("cds.fhir")
# urllib3 logs addresses, and these name patients.
logging.getLogger("urllib3").setLevel(logging.CRITICAL)

_ACCEPT = "application/fhir+json, application/json;q=0.9"
_CHUNK = 1 << 16
#: How often one GET is sent at most, and the seconds before the last time, where the server gives no time of its own.
_ATTEMPTS, _PAUSE = 3, 0.3
_REDIRECTIONS = 3
#: Seconds beyond the deadline in which readers hand over what they have.
_GRACE = 0.2
#: What passes by itself (RFC 9110, 15.6; RFC 6585): asking again may help.
_PASSING = frozenset((429, 502, 503, 504))
#: What servers say to a parameter of a search that they do not know.
_NOT_UNDERSTOOD = frozenset((400, 403, 404, 405, 422, 501))
#: The types whose medication may be told by reference; the search's parameter for it is `medication` in all of them.
MEDICATED = frozenset(("MedicationRequest", "MedicationAdministration", "MedicationStatement", "MedicationDispense"))


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may take: seconds and bytes altogether, pages of one search, resources, connections at once.

    `overdue` is how many threads may still wait for one server after their calls were answered (a name that is looked
    up cannot be given up); then it is asked nothing more until some of them come back.
    """

    seconds: float = 4.0
    bytes: int = 64 * 1024 * 1024
    pages: int = 100
    resources: int = 50_000
    parallel: int = 8
    page_size: int = 250
    overdue: int = 64


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to read: resources of `kind` by a `query` relative to the base, such as ``Condition?patient=123``.

    Where a first page is known already, `next_page` is its link to the next one, and `held` the ids of its results.
    """

    kind: str
    query: str
    next_page: str | None = None
    held: frozenset[str] = frozenset()

    @property
    def id(self) -> str | None:
        """The id of the one resource that is wanted; None for a search."""
        return None if "?" in self.query else self.query.partition("/")[2]


@dataclass(slots=True)
class Answer:
    """What was read, each with its fullUrl, and why that is not all; `outcome` is one word for it, for counting."""

    resources: list[tuple[Json, str | None]] = field(default_factory=list)
    problem: str | None = None
    outcome: str = "ok"


class _UnreadError(Exception):
    """Why something could not be read: one word for counting, words for people, the status where one came."""

    def __init__(self, outcome: str, problem: str, status: int | None = None) -> None:
        super().__init__(problem)
        self.outcome = outcome
        self.problem = problem
        self.status = status


class _PassingError(Exception):
    """A failure that may pass, with the seconds after which the server wants to be asked again."""

    def __init__(self, unread: _UnreadError, after: float | None = None) -> None:
        super().__init__()
        self.unread = unread
        self.after = after


Observe = Callable[[str, str, float], None]


class Servers:
    """The FHIR servers that may be read. Connections are kept open between calls; nothing else is.

    There is no `requests.Session`: it would keep cookies, and take credentials and proxies from the environment.
    `proxy` is the URL of one that was chosen, `authorities` a file of certificates in place of the public ones.
    `observe` is told of each query: the resource type, the outcome as a word, the seconds.
    """

    def __init__(
        self,
        allowlist: Allowlist,
        limits: Limits | None = None,
        *,
        proxy: str = "",
        authorities: str = "",
        observe: Observe = lambda _kind, _outcome, _seconds: None,
    ) -> None:
        self.allowlist = allowlist
        self.limits = limits or Limits()
        self.observe = observe
        self.adapter = _Adapter(pool_connections=16, pool_maxsize=64)
        self.proxies = {"http": proxy, "https": proxy} if proxy else {}
        self.authorities = authorities or True
        self._overdue: dict[Origin, list[Thread]] = {}
        self._lock = Lock()

    def open(self, base: Base, token: str | None) -> Reading:
        """A call's reading from one server. Its deadline runs from now."""
        return Reading(self, base, token)

    def overdue(self, origin: Origin, more: Iterable[Thread] = ()) -> int:
        """How many threads still wait for a server whose calls were answered without them; `more` are added."""
        with self._lock:
            waiting = [thread for thread in (*self._overdue.pop(origin, ()), *more) if thread.is_alive()]
            if waiting:
                self._overdue[origin] = waiting
            return len(waiting)

    def close(self) -> None:
        """Closes the connections that are kept."""
        self.adapter.close()


class Reading:
    """All that one call reads from a server, within one deadline and one set of limits."""

    def __init__(self, servers: Servers, base: Base, token: str | None) -> None:
        self._servers = servers
        self._limits = servers.limits
        self._base = base
        self._headers = {"Accept": _ACCEPT, "Accept-Encoding": "gzip", "User-Agent": "trial-match-cds"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._ends = monotonic() + self._limits.seconds
        self._bytes = self._limits.bytes
        self._resources = self._limits.resources
        self._lock = Lock()

    def read(self, wanted: Mapping[str, Wanted]) -> dict[str, Answer]:
        """The answers to all that is wanted, by the same keys; read at once, as far as the limits allow."""
        waiting = deque(wanted.items())
        answers: dict[str, Answer] = {}

        def work() -> None:
            while waiting:
                try:
                    key, one = waiting.popleft()
                except IndexError:  # another thread took it
                    return
                answers[key] = self._answer(one)

        threads = self._start(work, min(len(wanted), self._limits.parallel))
        until = max(self._ends, monotonic()) + _GRACE
        for thread in threads:
            thread.join(max(0.0, until - monotonic()))
        waiting.clear()
        self._servers.overdue(self._base.origin, threads)
        return {key: answers.get(key) or self._missed(one.kind, begun=bool(threads)) for key, one in wanted.items()}

    def _start(self, work: Callable[[], None], number: int) -> list[Thread]:
        """Threads that do a work, fewer where the machine gives no more. No end of the process waits for them."""
        threads: list[Thread] = []
        if self._servers.overdue(self._base.origin) >= self._limits.overdue:
            return threads
        for _ in range(number):
            thread = Thread(target=work, name="fhir", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                break
            threads.append(thread)
        return threads

    def _missed(self, kind: str, *, begun: bool) -> Answer:
        """The answer that did not come."""
        missed = self._too_late() if begun else _UnreadError("busy", "too many reads of the FHIR server still hang")
        self._servers.observe(kind, missed.outcome, self._limits.seconds if begun else 0.0)
        return Answer(problem=missed.problem, outcome=missed.outcome)

    @property
    def _left(self) -> float:
        return self._ends - monotonic()

    def _too_late(self) -> _UnreadError:
        return _UnreadError("timeout", f"the FHIR server did not answer within {self._limits.seconds:g} seconds")

    def _answer(self, wanted: Wanted) -> Answer:
        answer = Answer()
        started = monotonic()
        try:
            if wanted.id is not None:
                answer.resources.append((self._one(wanted.kind, wanted.id), None))
            elif not (wanted.next_page and self._continued(wanted, answer)):
                self._search(wanted, answer)
        except _UnreadError as error:
            answer.problem, answer.outcome = error.problem, error.outcome
        except Exception as error:  # whatever else a server brings about; the exception's text could quote it
            _log.error("a FHIR server's answer could not be read: %s at %s", type(error).__name__, place_of(error))
            answer.problem, answer.outcome = "the FHIR server's answer could not be read", "garbage"
        if self._left > -_GRACE:  # else it has been told already
            self._servers.observe(wanted.kind, answer.outcome, monotonic() - started)
        return answer

    # ---- reads and searches

    def _one(self, kind: str, identifier: str) -> Json:
        if not identifier.strip("."):
            raise _UnreadError("wrong", f"the id of the {kind} is none that an address can hold")
        resource, _ = self._get(f"{self._base}/{kind}/{identifier}")
        if resource.get("resourceType") == "OperationOutcome":
            raise _UnreadError("failed", "the FHIR server's read failed (an OperationOutcome came in place of data)")
        if resource.get("resourceType") != kind or resource.get("id") != identifier:
            raise _UnreadError("wrong", f"the FHIR server sent something else than the {kind} that was asked for")
        self._take(1)
        return resource

    def _continued(self, wanted: Wanted, answer: Answer) -> bool:
        """Reads the pages after one that is there; False where the link leads nowhere, so that a search may help."""
        url = follow(wanted.next_page or "", found_at=f"{self._base}/{wanted.query}", origin=self._base.origin)
        if url is None:
            return False
        try:
            self._pages(url, wanted, answer, wanted.held)
        except _UnreadError as error:
            if error.status is None:
                raise
            return False  # servers forget searches; what came so far stays
        return True

    def _search(self, wanted: Wanted, answer: Answer) -> None:
        """Reads a whole search: pages large, medications included; without these where a server knows neither."""
        url = f"{self._base}/{wanted.query}"
        more = f"&_count={self._limits.page_size}"
        if wanted.kind in MEDICATED:
            more += f"&_include={wanted.kind}:medication"
        came = len(answer.resources)
        try:
            self._pages(url + more, wanted, answer, frozenset())
        except _UnreadError as error:
            if error.status not in _NOT_UNDERSTOOD or len(answer.resources) > came:
                raise
            self._pages(url, wanted, answer, frozenset())

    def _pages(self, first: str, wanted: Wanted, answer: Answer, held: frozenset[str]) -> None:
        """Reads a page and all that follow. What is read stays in `answer`, though a later page fail."""
        url: str | None = first
        seen: set[str] = set()
        ids = set(held)
        found, strays, total = len(held), 0, None
        while url is not None:
            self._check_page(url, seen)
            seen.add(url)
            page, read_at = self._page(url, wanted.kind)
            answer.resources += page.resources
            fresh = {
                one["id"]
                for one, _ in page.resources
                if one["resourceType"] == wanted.kind and isinstance(one.get("id"), str)
            }
            found += page.found - len(fresh & ids)
            ids |= fresh
            strays += page.strays
            total = page.total if page.total is not None else total
            if page.withheld:
                raise _UnreadError("failed", "the FHIR server's search failed in part (an OperationOutcome says so)")
            url = self._next(page, read_at)
        if strays and not found:
            raise _UnreadError("wrong", f"the FHIR server sent other resources than {wanted.kind}")
        if total is not None and total > found:
            raise _UnreadError("lied", f"the FHIR server sent {found} of {total} results")

    def _check_page(self, url: str, seen: set[str]) -> None:
        if url in seen:
            raise _UnreadError("lied", "the FHIR server's pages lead in a circle")
        if len(seen) >= self._limits.pages:
            raise _UnreadError("limit", f"the search has more than {self._limits.pages} pages")

    def _page(self, url: str, kind: str) -> tuple[Page, str]:
        bundle, read_at = self._get(url)
        if bundle.get("resourceType") == "OperationOutcome":
            raise _UnreadError("failed", "the FHIR server's search failed (an OperationOutcome came in place of data)")
        if bundle.get("resourceType") != "Bundle":
            raise _UnreadError("wrong", "the FHIR server sent something else than a Bundle")
        try:
            page = Page.of(bundle, kind)
        except RecordError:
            raise _UnreadError("garbage", "the FHIR server sent a Bundle that is no FHIR") from None
        self._take(len(page.resources))
        return page, read_at

    def _next(self, page: Page, found_at: str) -> str | None:
        if not page.more:
            return None
        url = follow(page.next or "", found_at=found_at, origin=self._base.origin)
        if url is None:
            raise _UnreadError("refused", "the FHIR server's next page lies on another server, and was not read")
        return url

    # ---- one GET

    def _get(self, url: str) -> tuple[Json, str]:
        """The JSON object at a URL of the server, and the URL where redirections on that server led."""
        for _ in range(_REDIRECTIONS + 1):
            content = self._attempts(url)
            if isinstance(content, dict):
                return content, url
            target = follow(content, found_at=url, origin=self._base.origin)
            if target is None:
                raise _UnreadError("refused", "the FHIR server redirects to another server, which was not read")
            url = target
        raise _UnreadError("lied", "the FHIR server's redirections do not end")

    def _attempts(self, url: str) -> Json | str:
        """The JSON at a URL, or where it redirects to; sent again where that is safe, may help, and there is time."""
        attempt = 1
        while True:
            try:
                return self._once(url)
            except _PassingError as error:
                # A kept connection that the server had closed fails at once: the first repetition hardly waits.
                pause = error.after if error.after is not None else _PAUSE if attempt > 1 else _PAUSE / 10
                if attempt == _ATTEMPTS or pause >= self._left:
                    raise error.unread from None
            attempt += 1
            sleep(pause)

    def _once(self, url: str) -> Json | str:
        left = self._left
        if left <= 0:
            raise self._too_late()
        request = requests.Request("GET", url, headers=self._headers).prepare()
        try:
            with self._servers.adapter.send(
                request,
                stream=True,
                timeout=urllib3.Timeout(total=left),  # type: ignore[arg-type]
                verify=self._servers.authorities,
                proxies=self._servers.proxies,
            ) as response:
                if response.status_code in (301, 302, 303, 307, 308):
                    return response.headers.get("Location", "")
                self._check(response)
                return self._json(response)
        except requests.exceptions.SSLError:
            raise _UnreadError("tls", "the FHIR server's certificate or TLS is not accepted") from None
        except (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError):
            raise self._too_late() from None
        except (requests.ConnectionError, urllib3.exceptions.HTTPError, OSError):
            raise _PassingError(_UnreadError("unreachable", "the connection to the FHIR server failed")) from None

    def _check(self, response: requests.Response) -> None:
        """Raises for what is no success, or no JSON."""
        status = response.status_code
        if status in _PASSING:
            raise _PassingError(_refusal(status), _retry_after(response))
        if status != 200:
            raise _refusal(status)
        media_type = response.headers.get("Content-Type", "json").partition(";")[0].strip().lower()
        if "json" not in media_type:
            came = "HTML" if "html" in media_type else "something else"
            raise _UnreadError("garbage", f"the FHIR server answered with {came} in place of FHIR JSON")
        length = response.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) > self._bytes:
            raise self._too_large()

    def _json(self, response: requests.Response) -> Json:
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        chunks = iter(lambda: response.raw.read(_CHUNK, decode_content=False), b"")
        if encoding in ("gzip", "x-gzip"):
            chunks = _unzipped(self._counted(chunks))
        elif encoding not in ("identity", ""):
            raise _UnreadError("garbage", "the FHIR server answered in an encoding that was not asked for")
        body = b"".join(self._counted(chunks))
        try:
            content = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise _UnreadError("garbage", "the FHIR server's answer is no JSON, or is cut short") from None
        if not isinstance(content, dict):
            raise _UnreadError("garbage", "the FHIR server's answer is no FHIR resource")
        return content

    # ---- limits

    def _counted(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            with self._lock:
                self._bytes -= len(chunk)
                left = self._bytes
            if left < 0:
                raise self._too_large()
            if self._left <= 0:
                raise self._too_late()
            yield chunk

    def _too_large(self) -> _UnreadError:
        return _UnreadError("limit", f"the FHIR server sent more than {self._limits.bytes} bytes")

    def _take(self, resources: int) -> None:
        with self._lock:
            self._resources -= resources
            left = self._resources
        if left < 0:
            raise _UnreadError("limit", f"the FHIR server sent more than {self._limits.resources} resources")


def _refusal(status: int) -> _UnreadError:
    if status in (401, 403):
        return _UnreadError("denied", f"the FHIR server denied access ({status})", status)
    if status in (404, 410):
        return _UnreadError("not-found", f"the FHIR server has no such thing ({status})", status)
    if status == 429:
        return _UnreadError("throttled", "the FHIR server is asked too much (429)", status)
    return _UnreadError("failed", f"the FHIR server answered with status {status}", status)


def _retry_after(response: requests.Response) -> float | None:
    """Seconds, whether the header gives these or a date (RFC 9110, 10.2.3)."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _unzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """What gzip holds, a chunk at a time: a small body may hold gigabytes."""
    inflate = zlib.decompressobj(wbits=31)
    try:
        for chunk in chunks:
            waiting = chunk
            while waiting and not inflate.eof:
                yield inflate.decompress(waiting, _CHUNK)
                waiting = inflate.unconsumed_tail
        yield inflate.flush()
    except zlib.error:
        raise _UnreadError("garbage", "the FHIR server's gzip cannot be read") from None
    if not inflate.eof:
        raise _UnreadError("garbage", "the FHIR server's gzip is cut short")


# ---- a socket's timeout is for each piece that comes; here it is for the answer as a whole


class _Timed(RawIOBase):
    """What a socket sends, until the time is up that its timeout gave when this was made."""

    def __init__(self, raw: RawIOBase, sock: socket) -> None:
        self._raw = raw
        self._sock = sock
        timeout = sock.gettimeout()
        self._ends = None if timeout is None else monotonic() + timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._ends is not None:
            left = self._ends - monotonic()
            if left <= 0:
                raise TimeoutError
            self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(HTTPResponse):
    def __init__(self, sock: socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = BufferedReader(_Timed(self.fp.detach(), sock))


class _TimedConnection(HTTPConnection):
    response_class = _TimedResponse


class _TimedSecureConnection(HTTPSConnection):
    response_class = _TimedResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _TimedConnection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _TimedSecureConnection


_POOLS = {"http": _Pool, "https": _SecurePool}


class _Adapter(HTTPAdapter):
    """Connections whose answers end in time. Nothing is sent again here: that is for `Reading` to decide."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager
