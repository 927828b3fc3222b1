"""What FHIR servers do wrong. Each fault is done in place of answering one request (`Ehr.faults`)."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import orjson
from ehr import Call, Fault

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\n"
OUTCOME = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "exception"}]}


def _body(call: Call) -> bytes:
    return orjson.dumps(call.usual())


def _status(status: int, **headers: str) -> Fault:
    return lambda call: call.send(OUTCOME, status, **headers)


def _sends(content: Any, **headers: str) -> Fault:
    return lambda call: call.send(content, **headers)


def _once(fault: Fault) -> Fault:
    """A fault the first time, and no more."""
    return lambda call: fault(call) if call.number == 1 else call.well()


def _changed(change: Callable[[Any, Call], Any]) -> Fault:
    """The usual answer with a change in it."""

    def fault(call: Call) -> None:
        content = deepcopy(call.usual())
        change(content, call)
        call.send(content)

    return fault


def _raw(*parts: bytes, end: bool = True) -> Fault:
    """Bytes, and then the end of the connection, or silence."""

    def fault(call: Call) -> None:
        for part in parts:
            call.raw(part)
        if not end:
            call.wait()
        call.end()

    return fault


def _forever(head: bytes, part: bytes, pause: float = 0.0) -> Fault:
    def fault(call: Call) -> None:
        call.raw(head)
        while not call.server.closing.is_set():
            call.raw(part)
            if pause:
                call.wait(pause)

    return fault


def _half(call: Call, *, end: bool) -> None:
    body = _body(call)
    call.raw(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body[: len(body) // 2])
    if not end:
        call.wait()
    call.end()


def _reset(call: Call) -> None:
    body = _body(call)
    call.raw(HEAD + b"Content-Length: %d\r\n\r\n" % len(body))
    call.reset()


def _length(more: int) -> Fault:
    def fault(call: Call) -> None:
        body = _body(call)
        call.raw(HEAD + b"Content-Length: %d\r\n\r\n" % (len(body) + more) + body)
        call.end()

    return fault


def _next(url: Callable[[Call], Any]) -> Fault:
    """The usual answer, and a link to a next page."""
    return _changed(lambda content, call: content.update(link=[{"relation": "next", "url": url(call)}]))


def _pages(url: Callable[[Call, str], str]) -> Fault:
    """The usual pages, their links to the next one written in another way."""

    def change(content: Any, call: Call) -> None:
        for link in content.get("link", ()):
            link["url"] = url(call, link["url"])

    return _changed(change)


def _entry(*resources: Any, **more: Any) -> Fault:
    return _changed(
        lambda content, _: content.setdefault("entry", []).extend({"resource": one, **more} for one in resources)
    )


def _whose(content: Any, _: Call) -> None:
    """Makes all that is sent somebody else's."""
    for entry in content.get("entry", ()):
        for name in ("subject", "patient"):
            if name in entry["resource"]:
                entry["resource"][name] = {"reference": "Patient/somebody-else"}


def _again(content: Any, call: Call) -> None:
    """Two pages that hold the same, and a total that counts it once."""
    if "_offset" not in call.path:
        content["link"] = [{"relation": "next", "url": f"{call.path}&_offset=0"}]


def _plain(call: Call) -> None:
    """Knows no parameter of a search but patient."""
    call.well() if "&_" not in call.path.replace("&_offset", "") else call.send(OUTCOME, 400)


def _zipped(content: Callable[[Call], bytes]) -> Fault:
    return lambda call: call.send(content(call), Content_Encoding="gzip")


def _chunked(call: Call) -> None:
    body = _body(call)
    call.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    for start in range(0, len(body), 100):
        piece = body[start : start + 100]
        call.raw(b"%x\r\n%s\r\n" % (len(piece), piece))
    call.raw(b"0\r\n\r\n")


def _slowly(call: Call) -> None:
    call.wait(0.02)
    call.well()


def _moved(path: str) -> str:
    return path + ("&" if "?" in path else "?") + "moved=1"


def _in_a_while() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)


_CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

#: Servers that do not end, or not in time.
ENDLESS: dict[str, Fault] = {
    "hangs before it answers": lambda call: call.wait(),
    "hangs in its headers": _raw(HEAD + b"Content-", end=False),
    "hangs after its headers": _raw(HEAD + b"Content-Length: 500\r\n\r\n", end=False),
    "hangs in its body": lambda call: _half(call, end=False),
    "drips its body": _forever(HEAD + b"Content-Length: 100000\r\n\r\n", b" ", 0.01),
    "drips its headers": _forever(HEAD, b"X: y\r\n", 0.1),
    "drips chunks": _forever(_CHUNKED, b"1\r\n \r\n", 0.01),
    "drips the size of a chunk": _forever(_CHUNKED, b"0", 0.01),
    "bids to go on for ever": _forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.01),
    "promises more than it sends": lambda call: (call.send(_body(call), Content_Length="100000"), call.wait())[0],
}

#: Faults that lose data, with the word that counts them.
LOSSES: dict[str, tuple[str, Fault]] = {
    "closes at once": ("unreachable", lambda call: call.end()),
    "closes in its headers": ("garbage", _raw(HEAD)),
    "closes in its body": ("unreachable", lambda call: _half(call, end=True)),
    "closes in a chunk": ("unreachable", _raw(_CHUNKED, b'40\r\n{"resourceType"')),
    "resets the connection": ("unreachable", _reset),
    "sends more than its length": ("garbage", _length(-10)),
    "sends less than its length": ("unreachable", _length(10)),
    "speaks no HTTP": ("unreachable", _raw(b"220 mail.example ESMTP\r\n")),
    "sends a header without end": ("unreachable", _forever(HEAD, b"X" * 10_000)),
    "sends headers without end": ("unreachable", _forever(HEAD, b"X: y\r\n" * 1_000)),
    "401": ("denied", _status(401, WWW_Authenticate="Bearer")),
    "403": ("denied", _status(403)),
    "404": ("not-found", _status(404)),
    "410": ("not-found", _status(410)),
    "400": ("failed", _status(400)),
    "429 for long": ("throttled", _status(429, Retry_After="3600")),
    "429 until a date": ("throttled", lambda call: call.send(OUTCOME, 429, Retry_After=_in_a_while())),
    "429 for ever": ("throttled", _status(429, Retry_After="0")),
    "500": ("failed", _status(500)),
    "502": ("failed", _status(502, Retry_After="0")),
    "503 for ever": ("failed", _status(503, Retry_After="0")),
    "503 for long": ("failed", _status(503, Retry_After="120")),
    "504": ("failed", _status(504, Retry_After="0")),
    "201": ("failed", _status(201)),
    "204": ("failed", lambda call: call.send(b"", 204)),
    "206": ("failed", lambda call: call.send(call.usual(), 206)),
    "304": ("failed", lambda call: call.send(b"", 304)),
    "HTML": ("garbage", _sends(b"<html>Please log in</html>", Content_Type="text/html")),
    "HTML that is called JSON": ("garbage", _sends(b"<html>Please log in</html>")),
    "XML": ("garbage", _sends(b"<Bundle xmlns='http://hl7.org/fhir'/>", Content_Type="application/fhir+xml")),
    "nothing": ("garbage", _sends(b"")),
    "null": ("garbage", _sends(None)),
    "a list": ("garbage", _sends([])),
    "a number of 5,000 digits": ("garbage", _sends(b"9" * 5_000)),
    "JSON that is cut": ("garbage", lambda call: call.send(_body(call)[:-5])),
    "bytes that are no text": ("garbage", _sends(b'{"resourceType": "\xff\xfe"}')),
    "NaN": ("garbage", _sends(b'{"resourceType": NaN}')),
    "brackets 100,000 deep": ("garbage", _sends(b"[" * 100_000)),
    "an object that is no resource": ("wrong", _sends({"error": "x"})),
    "gzip that grows": ("limit", _zipped(lambda _: gzip.compress(b" " * 50_000_000))),
    "gzip that is cut": ("garbage", _zipped(lambda call: gzip.compress(_body(call))[:-20])),
    "gzip that is none": ("garbage", _zipped(_body)),
    "an encoding that nobody asked for": ("garbage", _sends(b"x", Content_Encoding="br")),
    "a body without end": ("limit", _forever(HEAD + b"\r\n", b" " * 65_536)),
    "chunks without end": ("limit", _forever(_CHUNKED, b"10000\r\n" + b" " * 65_536 + b"\r\n")),
    "a length that is too large": ("limit", _raw(HEAD + b"Content-Length: 99999999999\r\n\r\n", end=False)),
    "a redirection elsewhere": ("refused", lambda call: call.redirect(call.server.elsewhere + "/Condition")),
    "a redirection by //": ("refused", lambda call: call.redirect(call.server.elsewhere.partition(":")[2])),
    "a redirection to a file": ("refused", lambda call: call.redirect("file:///etc/passwd")),
    "a redirection to nowhere": ("refused", lambda call: call.redirect("")),
    "a redirection to itself": ("lied", lambda call: call.redirect(call.path, 301)),
    "redirections without end": ("lied", lambda call: call.redirect(f"{call.path}&x={call.number}", 302)),
    "an OperationOutcome": ("failed", _sends(OUTCOME)),
}

#: Faults of searches alone.
LOSSES_OF_SEARCHES: dict[str, tuple[str, Fault]] = {
    "an OperationOutcome among the entries": ("failed", _entry(OUTCOME, search={"mode": "outcome"})),
    "entries held back": ("failed", _entry(OUTCOME | {"issue": [{"severity": "warning", "code": "suppressed"}]})),
    "a resource in place of a Bundle": ("wrong", _sends({"resourceType": "Basic", "id": "1"})),
    "other types": ("wrong", _sends({"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Basic"}}]})),
    "a total that is larger": ("lied", _changed(lambda content, _: content.update(total=1_000))),
    "entries that are none": ("garbage", _changed(lambda content, _: content.update(entry={"0": 1}))),
    "an entry that is no resource": ("garbage", _entry({"id": "1"})),
    "pages without end": ("limit", _next(lambda call: f"{call.path}&x={call.number}")),
    "pages in a circle": ("lied", _next(lambda call: f"{call.path.partition('&x=')[0]}&x={call.number % 2}")),
    "a page that is its own next": ("lied", _next(lambda call: call.path)),
    "a next page elsewhere": ("refused", _next(lambda call: call.server.elsewhere + "/Condition")),
    "a next page by //": ("refused", _next(lambda call: call.server.elsewhere.partition(":")[2])),
    "a next page behind credentials": ("refused", _next(lambda call: _at(call.server.elsewhere, call.server.url))),
    "a next page on another port": ("refused", _next(lambda _: "http://127.0.0.1:1/fhir")),
    "a next page by https": ("refused", _next(lambda call: call.server.url.replace("http:", "https:"))),
    "a next page behind a backslash": ("refused", _next(lambda call: "\\\\" + call.server.elsewhere[7:])),
    "a next page that is no address": ("refused", _next(lambda _: "http://[")),
    "a next page without address": ("refused", _next(lambda _: None)),
    "a next page that is gone": ("not-found", _next(lambda call: f"/fhir/Gone/{call.number}")),
    "another's data": ("ok", _changed(_whose)),
}

#: Faults that lose nothing.
TOLERATED: dict[str, Fault] = {
    "answers slowly": _slowly,
    "fails once": _once(_status(503)),
    "is asked too much once": _once(_status(429, Retry_After="0")),
    "closes once": _once(lambda call: call.end()),
    "closes once in its body": _once(lambda call: _half(call, end=True)),
    "redirects on itself": lambda call: call.well() if "moved" in call.path else call.redirect(_moved(call.path)),
    "sends gzip": _zipped(lambda call: gzip.compress(_body(call))),
    "sends chunks": _chunked,
    "sends no length": lambda call: _raw(HEAD + b"\r\n" + _body(call))(call),
    "sends no type": lambda call: _raw(b"HTTP/1.1 200 OK\r\n\r\n" + _body(call))(call),
    "speaks HTTP/1.0": lambda call: _raw(b"HTTP/1.0 200 OK\r\n\r\n" + _body(call))(call),
    "sets cookies": lambda call: call.send(call.usual(), Set_Cookie="a=b; Path=/"),
}

#: The same, for searches alone.
TOLERATED_OF_SEARCHES: dict[str, Fault] = {
    "knows neither _count nor _include": _plain,
    "links pages by a path": _pages(lambda call, url: url.removeprefix(call.server.url.removesuffix("/fhir"))),
    "links pages by a query": _pages(lambda _, url: "?" + url.partition("?")[2]),
    "links pages in capitals": _pages(lambda _, url: url.replace("http:", "HTTP:")),
    "sends pages twice": _changed(_again),
    "warns": _entry(OUTCOME | {"issue": [{"severity": "warning", "code": "informational"}]}),
    "sends entries without resources": _changed(lambda content, _: content.setdefault("entry", []).append({})),
    "sends no total": _changed(lambda content, _: content.pop("total")),
    "includes what nobody asked for": _entry({"resourceType": "Basic", "id": "1"}, search={"mode": "include"}),
}


def _at(elsewhere: str, here: str) -> str:
    """An address that begins like ours, and leads elsewhere."""
    return here.removesuffix("/fhir") + "@" + elsewhere.partition("//")[2]
