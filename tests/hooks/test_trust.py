"""Who may call: tokens right and wrong, key sets that move and fail, and a store that all workers share."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Flask
from signed import ISSUER, KEYS, OTHER, PUBLIC_URL, KeyServer, claims, jwks, published, token
from sqlalchemy import Engine, create_engine, event, text
from werkzeug.test import TestResponse

from cds.app import create_app
from cds.errors import ContentError, TrustUnavailableError, UntrustedCallError
from cds.hooks import jwks as jwks_module
from cds.hooks.jwks import ALGORITHMS, KeySet
from cds.hooks.replay import ReplayStore
from cds.hooks.signing import Signer, make_key, pem, public_jwk
from cds.hooks.trust import Trust
from cds.settings import Settings

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PATH = "/cds-services/trial-match"
URL = PUBLIC_URL + PATH


@pytest.fixture(scope="module")
def key_server() -> Iterator[KeyServer]:
    server = KeyServer()
    yield server
    server.close()


@pytest.fixture
def server(key_server: KeyServer) -> KeyServer:
    """The key server, publishing all keys, with its count at nought."""
    key_server.restore()
    key_server.asked = 0
    return key_server


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'replay' / 'used.sqlite'}"


@pytest.fixture
def trust(server: KeyServer, database: str) -> Trust:
    return Trust([(ISSUER, server.url)], public_url=PUBLIC_URL, replays=ReplayStore.open(database))


def admit(trust: Trust, signed: str, path: str = PATH, now: datetime = NOW) -> str:
    return trust.admit(f"Bearer {signed}", path, now=now)


def refused(trust: Trust, signed: str, path: str = PATH, now: datetime = NOW) -> str | None:
    """What of a token was wrong; the token itself never shows."""
    with pytest.raises(UntrustedCallError) as error:
        admit(trust, signed, path, now)
    assert not signed or signed not in str(error.value)
    assert error.value.remedy
    return error.value.where


# ---- tokens


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_that_we_accept(trust: Trust, algorithm: str) -> None:
    assert admit(trust, token(URL, NOW, algorithm=algorithm)) == ISSUER


@pytest.mark.parametrize(
    ("changes", "claim"),
    [
        ({"iss": ...}, "iss"),
        ({"iss": "https://other.example"}, "iss"),
        ({"iss": [ISSUER]}, "iss"),
        ({"iss": ISSUER + "/"}, "iss"),
        ({"aud": ...}, "aud"),
        ({"aud": None}, "aud"),
        ({"aud": []}, "aud"),
        ({"aud": {}}, "aud"),
        ({"aud": [5, None]}, "aud"),
        ({"aud": PUBLIC_URL}, "aud"),
        ({"aud": PUBLIC_URL + "/cds-services"}, "aud"),
        ({"aud": URL + "/feedback"}, "aud"),
        ({"aud": URL + "?a=b"}, "aud"),
        ({"aud": URL + "#x"}, "aud"),
        ({"aud": URL.replace("https", "http")}, "aud"),
        ({"aud": URL.replace("cds.example", "cds.example:8443")}, "aud"),
        ({"aud": URL.replace("cds.example", "me@cds.example")}, "aud"),
        ({"aud": URL.replace("cds.example", "CDS.example").replace("trial", "Trial")}, "aud"),
        ({"aud": "http://[bad"}, "aud"),
        ({"aud": "http://127.0.0.1:8080" + PATH}, "aud"),
        ({"exp": ...}, "exp"),
        ({"exp": "soon"}, "exp"),
        ({"exp": True}, "exp"),
        ({"exp": int(NOW.timestamp())}, "exp"),
        ({"exp": int(NOW.timestamp()) - 3600}, "exp"),
        ({"exp": int(NOW.timestamp()) + 3601}, "exp"),
        ({"exp": 1e300}, "exp"),
        ({"iat": ...}, "iat"),
        ({"iat": None}, "iat"),
        ({"iat": int(NOW.timestamp()) + 61, "exp": int(NOW.timestamp()) + 300}, "iat"),
        ({"iat": 0}, "exp"),
        ({"nbf": int(NOW.timestamp()) + 3600}, "nbf"),
        ({"nbf": "x"}, "nbf"),
        ({"jti": ...}, "jti"),
        ({"jti": ""}, "jti"),
        ({"jti": 5}, "jti"),
    ],
)
def test_a_wrong_claim_is_named(trust: Trust, changes: dict[str, Any], claim: str) -> None:
    aud = changes.get("aud", URL)
    changes = {name: value for name, value in changes.items() if name != "aud"}
    if "iss" in changes and not isinstance(changes["iss"], str):  # PyJWT writes no such token: it is put together here
        signed = _encode({"alg": "ES384", "kid": "ES384", "typ": "JWT"}, claims(aud, NOW, **changes))
    else:
        signed = token(aud, NOW, **changes)
    assert refused(trust, signed) == claim


def _encode(header: dict[str, Any], payload: dict[str, Any]) -> str:
    signing = ".".join(_base64url(orjson.dumps(part)) for part in (header, payload))
    signature = jwt.algorithms.get_default_algorithms()["ES384"].sign(signing.encode(), KEYS["ES384"])
    return f"{signing}.{_base64url(signature)}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": URL + "/"},
        {"aud": ["https://elsewhere.example", URL]},
        {"aud": URL.replace("cds.example", "CDS.Example:443")},
        {"tenant": "north"},
        {"tenant": {"x": [1]}},
        {"sub": "x", "more": None},
        {"iat": int(NOW.timestamp()) + 59},
        {"exp": int(NOW.timestamp()) + 3600},
        {"iat": NOW.timestamp() - 0.5, "exp": NOW.timestamp() + 0.5},
        {"jti": "\u00fc" * 500},
    ],
)
def test_what_is_right_though_unusual(trust: Trust, changes: dict[str, Any]) -> None:
    assert admit(trust, token(changes.pop("aud", URL), NOW, **changes)) == ISSUER


def test_a_slash_and_a_query_of_the_call_are_no_part_of_its_address(trust: Trust) -> None:
    assert admit(trust, token(URL, NOW), PATH + "/") == ISSUER


def test_feedback_may_name_its_service_and_nothing_else(trust: Trust) -> None:
    feedback = PATH + "/feedback"
    assert admit(trust, token(URL, NOW), feedback) == ISSUER
    assert admit(trust, token(URL + "/feedback", NOW), feedback) == ISSUER
    assert refused(trust, token(PUBLIC_URL + "/cds-services", NOW), feedback) == "aud"


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ({"typ": "at+jwt"}, "typ"),
        ({"typ": None}, "typ"),
        ({"kid": None}, "kid"),
        ({"kid": "ES256"}, "kid"),
        ({"kid": "RS384"}, "kid"),
        ({"kid": "unknown"}, "kid"),
        ({"jku": "https://evil.example/jwks.json"}, "jku"),
        ({"jku": ""}, "jku"),
        ({"jku": "file:///etc/passwd"}, "jku"),
        ({"crit": ["exp"]}, "crit"),
    ],
)
def test_a_wrong_header_is_named(trust: Trust, header: dict[str, Any], named: str) -> None:
    whole = {"alg": "ES384", "kid": "ES384", "typ": "JWT", **header}
    whole = {name: value for name, value in whole.items() if value is not None}
    assert refused(trust, _encode(whole, claims(URL, NOW))) == named


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Bearer a.b",
        "Bearer a.b.c.d",
        "Bearer ..",
        "Bearer a.b.c, Bearer a.b.c",
        "Bearer \u00fc.b.c",
        "Bearer " + "a" * 9000 + ".b.c",
        "Bearer e30.e30.e30",
        "Bearer bnVsbA.bnVsbA.bnVsbA",
        "Bearer " + _base64url(b'{"a":' * 1500 + b"1" + b"}" * 1500) + ".e30.e30",
        "Bearer " + _base64url(b"\xff") + ".e30.e30",
    ],
    ids=range(15),
)
def test_what_is_no_token(trust: Trust, authorization: str | None) -> None:
    with pytest.raises(UntrustedCallError):
        trust.admit(authorization, PATH, now=NOW)


def test_none_and_symmetric_algorithms_are_refused(trust: Trust) -> None:
    head = {"kid": "ES384", "typ": "JWT"}
    unsigned = f"{_base64url(orjson.dumps({'alg': 'none', **head}))}.{_base64url(orjson.dumps(claims(URL, NOW)))}."
    for signed in (unsigned, unsigned + "AAAA", _encode({"alg": "None", **head}, claims(URL, NOW)), _encode(head, {})):
        assert refused(trust, signed) == "alg"
    assert refused(trust, token(URL, NOW).rsplit(".", 1)[0] + ".") == "signature"


def test_a_public_key_is_no_shared_secret(trust: Trust) -> None:
    """The classical confusion: an HMAC with the public key, which everybody has."""
    for name, key in KEYS.items():
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        for algorithm, digest in (("HS256", hashlib.sha256), ("HS384", hashlib.sha384), ("HS512", hashlib.sha512)):
            header = _base64url(orjson.dumps({"alg": algorithm, "kid": name, "typ": "JWT"}))
            signing = header + "." + _base64url(orjson.dumps(claims(URL, NOW)))
            mac = hmac.new(public, signing.encode(), digest).digest()
            assert refused(trust, f"{signing}.{_base64url(mac)}") == "alg"


def test_a_signature_of_another_key_or_over_other_claims(trust: Trust) -> None:
    assert refused(trust, token(URL, NOW, key=OTHER)) == "signature"
    header, _, signature = token(URL, NOW).split(".")
    changed = _base64url(orjson.dumps(claims(URL, NOW)))
    assert refused(trust, f"{header}.{changed}.{signature}") == "signature"
    assert refused(trust, f"{header}.{changed}.AAAA") == "signature"


def test_a_token_serves_once(trust: Trust) -> None:
    signed = token(URL, NOW)
    assert admit(trust, signed) == ISSUER
    assert refused(trust, signed) == "jti"
    assert refused(trust, token(URL, NOW, jti=jwt.decode(signed, options={"verify_signature": False})["jti"])) == "jti"


def test_a_refused_token_is_not_used_up(trust: Trust) -> None:
    signed = token(URL, NOW)
    assert refused(trust, signed, "/cds-services") == "aud"
    assert admit(trust, signed) == ISSUER


def test_issuers_do_not_share_keys_or_token_ids(server: KeyServer, database: str) -> None:
    other = "https://second.example"
    file = Path(database.removeprefix("sqlite:///")).parent.with_suffix(".jwks")
    file.write_bytes(jwks(public_jwk(OTHER, kid="ES384")))
    clients = [(ISSUER, server.url), (other, file.as_uri())]
    trust = Trust(clients, public_url=PUBLIC_URL, replays=ReplayStore.open(database))
    assert admit(trust, token(URL, NOW, jti="1")) == ISSUER
    assert admit(trust, token(URL, NOW, jti="1", iss=other, key=OTHER)) == other
    assert refused(trust, token(URL, NOW, iss=other)) == "signature"
    assert refused(trust, token(URL, NOW, iss=other, key=OTHER, header={"jku": server.url})) == "jku"


def test_a_listed_jku_is_used(server: KeyServer, trust: Trust) -> None:
    assert admit(trust, token(URL, NOW, header={"jku": server.url})) == ISSUER


def test_logs_never_hold_a_token(trust: Trust, caplog: pytest.LogCaptureFixture, server: KeyServer) -> None:
    server.content = b"{"
    signed = token(URL, NOW)
    with caplog.at_level(logging.DEBUG), pytest.raises(TrustUnavailableError) as error:
        admit(trust, signed)
    assert server.url in caplog.text
    for part in signed.split("."):
        assert part not in caplog.text + str(error.value)


# ---- key sets


class Hours:
    """A timer that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_keys_are_cached_and_asked_for_anew_after_a_while(server: KeyServer) -> None:
    timer = Hours()
    keys = KeySet(server.url, timer=timer)
    for _ in range(20):
        assert keys.find("ES384", "ES384")
    assert server.asked == 1
    timer.now += 601
    assert keys.find("ES384", "ES384")
    assert server.asked == 2


def test_a_rotation_is_seen_at_once_and_the_old_key_serves_no_more(server: KeyServer) -> None:
    keys = KeySet(server.url, timer=Hours())
    assert keys.find("ES384", "ES384")
    server.content = jwks(public_jwk(OTHER, kid="new"))
    assert keys.find("new", "ES384")
    assert keys.find("ES384", "ES384") is None
    assert server.asked == 3


def test_made_up_key_ids_do_not_make_us_hammer_the_ehr(server: KeyServer) -> None:
    timer = Hours()
    keys = KeySet(server.url, timer=timer)
    for number in range(200):
        assert keys.find(f"made-up-{number}", "ES384") is None
    assert server.asked == 4
    assert keys.find("ES384", "ES384"), "known keys go on serving"
    timer.now += 121
    assert keys.find("made-up", "ES384") is None
    assert server.asked == 5


def test_keys_outlive_a_failing_server_for_an_hour(server: KeyServer) -> None:
    timer = Hours()
    keys = KeySet(server.url, timer=timer)
    assert keys.find("ES384", "ES384")
    server.answer = lambda handler: handler.send_error(500)
    timer.now += 3000
    assert keys.find("ES384", "ES384")
    timer.now += 601
    with pytest.raises(TrustUnavailableError):
        keys.find("ES384", "ES384")
    server.restore()
    timer.now += 121
    assert keys.find("ES384", "ES384")


def _redirect(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(302)
    handler.send_header("Location", "/jwks.json?again")
    handler.end_headers()


def _endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(100_000):
            handler.wfile.write(b" " * 65536)
    except OSError:
        return


def _status(status: int) -> Any:
    return lambda handler: handler.send_error(status)


@pytest.mark.parametrize("answer", [_redirect, _endless, _status(404), _status(500), _status(204)])
def test_a_key_server_that_answers_with_something_else(server: KeyServer, answer: Any) -> None:
    server.answer = answer
    with pytest.raises(TrustUnavailableError):
        KeySet(server.url).find("ES384", "ES384")
    assert server.asked == 1


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"keys": {}}', b'{"keys": "x"}', b"\xff", b"[" * 9999]
)
def test_a_key_set_that_is_none(server: KeyServer, content: bytes) -> None:
    server.content = content
    with pytest.raises(TrustUnavailableError):
        KeySet(server.url).find("ES384", "ES384")


def test_a_key_server_that_hangs_is_not_waited_for(server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sends a header line now and then, so that no read ever times out; one thread stays with it, not one a call."""
    monkeypatch.setattr(jwks_module, "_WHOLE", 0.05)
    stop = threading.Event()
    server.answer = lambda handler: bool(stop.wait(20))
    keys = KeySet(server.url)
    before = threading.active_count()
    for _ in range(10):
        with pytest.raises(TrustUnavailableError):
            keys.find("ES384", "ES384")
    assert server.asked == 1
    assert threading.active_count() <= before + 2
    stop.set()


def test_many_threads_ask_once(server: KeyServer) -> None:
    keys = KeySet(server.url)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(keys.find("ES384", "ES384"))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16 and all(found)
    assert server.asked == 1


def test_keys_that_are_not_for_this_are_passed_over(server: KeyServer) -> None:
    (es384,) = (key for key in published() if key["kid"] == "ES384")
    private = jwt.algorithms.ECAlgorithm.to_jwk(KEYS["ES384"], as_dict=True)
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    server.content = jwks(
        {**{name: value for name, value in es384.items() if name != "alg"}, "kid": "encrypts", "use": "enc"},
        {**es384, "kid": "agrees", "use": "enc", "alg": "ECDH-ES"},
        {**es384, "kid": "odd algorithm", "use": "enc", "alg": ["ES384"]},
        {**es384, "kid": "signs", "key_ops": ["sign"]},
        {**es384, "kid": "off the curve", "x": es384["y"]},
        {**es384, "kid": "odd", "x": 5},
        {**es384, "kid": "claims to be RSA", "kty": "RSA"},
        {**es384, "kid": "other algorithm", "alg": "ES256"},
        {**private, "kid": "private"},
        {**public_jwk(short), "kid": "short"},
        {"kty": "oct", "k": "AAAA", "kid": "shared"},
        {"kid": "nothing"},
        {**es384, "kid": 5},
        {**es384, "kty": [], "kid": "list"},
    )
    keys = KeySet(server.url)
    for key in orjson.loads(server.content)["keys"]:
        assert keys.find(str(key["kid"]), "RS384" if key["kid"] == "short" else "ES384") is None, key["kid"]


def test_calls_as_the_public_sandbox_signs_them(server: KeyServer, database: str) -> None:
    """Its key is published with use "enc" beside alg ES256; its tokens name their jku and a sub."""
    key = {**public_jwk(KEYS["ES256"], kid="d9cd"), "use": "enc"}
    server.content = jwks(key)
    trust = Trust([(ISSUER, server.url)], public_url=PUBLIC_URL, replays=ReplayStore.open(database))
    header = {"kid": "d9cd", "jku": server.url}
    for path in ("/cds-services", PATH):
        signed = token(PUBLIC_URL + path, NOW, algorithm="ES256", header=header, sub="client")
        assert admit(trust, signed, path) == ISSUER


def test_a_key_serves_the_algorithms_of_its_kind_alone(server: KeyServer) -> None:
    keys = KeySet(server.url)
    fits = {(kid, algorithm) for kid in KEYS for algorithm in ALGORITHMS if keys.find(kid, algorithm)}
    rsa_algorithms = {("RS384", name) for name in ALGORITHMS if name[0] in "RP"}
    assert fits == {("ES256", "ES256"), ("ES384", "ES384"), ("ES512", "ES512")} | rsa_algorithms


# ---- the store of used tokens


def test_the_store_keeps_no_token_and_forgets_what_has_expired(database: str) -> None:
    store = ReplayStore.open(database)
    later = NOW + timedelta(minutes=10)
    assert store.take(ISSUER, "old", expires=(NOW + timedelta(minutes=5)).timestamp(), now=NOW)
    assert store.take(ISSUER, "new", expires=(later + timedelta(minutes=5)).timestamp(), now=later)
    with create_engine(database).connect() as connection:
        rows = list(connection.execute(text("select * from used_token")))
    assert len(rows) == 1 and ISSUER not in str(rows) and "new" not in str(rows)


def test_two_stores_on_one_database_agree(database: str) -> None:
    first, second = ReplayStore.open(database), ReplayStore.open(database)
    expires = NOW.timestamp() + 300
    assert first.take(ISSUER, "1", expires=expires, now=NOW)
    assert not second.take(ISSUER, "1", expires=expires, now=NOW)


_WORKER = """
import sys
from datetime import datetime, UTC
from cds.hooks.replay import ReplayStore
store = ReplayStore.open(sys.argv[1])
now = datetime(2026, 11, 20, 12, tzinfo=UTC)
sys.stdin.readline()
print(sum(store.take("i", str(n), expires=now.timestamp() + 300, now=now) for n in range(200)))
"""


def test_workers_that_race_admit_a_token_once(database: str) -> None:
    """Four processes each try the same 200 tokens: 200 pass, all in all."""
    ReplayStore.open(database)
    workers = [
        subprocess.Popen([sys.executable, "-c", _WORKER, database], stdin=-1, stdout=-1, text=True) for _ in range(4)
    ]
    admitted = [int(worker.communicate("go\n")[0]) for worker in workers]
    assert sum(admitted) == 200


def test_where_the_store_is_down_no_signed_call_passes(trust: Trust, database: str) -> None:
    assert admit(trust, token(URL, NOW)) == ISSUER
    file = Path(database.removeprefix("sqlite:///"))
    with create_engine(database).begin() as connection:
        connection.execute(text("drop table used_token"))
    with pytest.raises(TrustUnavailableError):
        admit(trust, token(URL, NOW))
    assert file.exists()


def test_a_locked_store_is_waited_for_a_little(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cds.hooks.replay._WAIT", 0.05)
    store = ReplayStore.open(database)
    with create_engine(database).connect() as holder:
        holder.execute(text("begin immediate"))
        with pytest.raises(TrustUnavailableError):
            store.take(ISSUER, "1", expires=NOW.timestamp() + 300, now=NOW)
        holder.rollback()
    assert store.take(ISSUER, "1", expires=NOW.timestamp() + 300, now=NOW)


@pytest.mark.parametrize("url", ["nonsense", "sqlite:////proc/none/replay.sqlite", "oracle://x/y", ""])
def test_a_store_that_cannot_be_opened_is_said_at_start(url: str) -> None:
    with pytest.raises(ContentError, match="CDS_REPLAY_DATABASE_URL"):
        ReplayStore.open(url)


# ---- at the door


@pytest.fixture
def signed_app(server: KeyServer, database: str) -> Flask:
    """The service with signed calls, at PUBLIC_URL."""
    environment = {
        "CDS_TRUSTED_CLIENTS": f"{ISSUER}|{server.url}",
        "CDS_PUBLIC_URL": PUBLIC_URL,
        "CDS_REPLAY_DATABASE_URL": database,
    }
    return create_app(Settings.from_environment(environment), clock=lambda: NOW)


def get(app: Flask, signed: str) -> TestResponse:
    return app.test_client().get("/cds-services", headers={"Authorization": f"Bearer {signed}"})


def test_what_is_wrong_is_said_and_the_token_never(signed_app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    signed = token(PUBLIC_URL, NOW)
    with caplog.at_level(logging.DEBUG):
        answer = get(signed_app, signed)
    assert answer.status_code == 401
    assert "aud" in answer.json["issue"][0]["diagnostics"]  # type: ignore[index]
    assert 'error_description="aud is not the URL that was called"' in answer.headers["WWW-Authenticate"]
    for part in signed.split("."):
        assert part not in answer.text + str(answer.headers) + caplog.text
    assert get(signed_app, token(PUBLIC_URL + "/cds-services", NOW)).status_code == 200


def test_what_expired_is_told_as_expired(signed_app: Flask) -> None:
    answer = get(signed_app, token(PUBLIC_URL + "/cds-services", NOW - timedelta(hours=1)))
    assert (answer.status_code, answer.json["issue"][0]["code"]) == (401, "expired")  # type: ignore[index]


@contextmanager
def _without_table(database: str) -> Iterator[None]:
    with create_engine(database).begin() as connection:
        connection.execute(text("drop table used_token"))
    yield


@contextmanager
def _locked(database: str) -> Iterator[None]:
    with create_engine(database).connect() as holder:
        holder.execute(text("begin immediate"))
        yield
        holder.rollback()


@contextmanager
def _overwritten(database: str) -> Iterator[None]:
    file = Path(database.removeprefix("sqlite:///"))
    file.write_bytes(b"no database at all" * 1000)
    yield


@contextmanager
def _full(database: str) -> Iterator[None]:
    """There is no room for another page (SQLITE_FULL, as on a full disk), and every page in use is filled."""

    def begin(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA max_page_count=1").close()  # as many as there are now

    event.listen(Engine, "connect", begin)
    store = ReplayStore(database)
    with pytest.raises(TrustUnavailableError):
        for number in range(10_000):
            store.take(ISSUER, f"filler {number}", expires=NOW.timestamp() + 300, now=NOW)
    yield
    event.remove(Engine, "connect", begin)


@pytest.mark.parametrize("broken", [_without_table, _locked, _overwritten, _full])
def test_where_trust_cannot_be_known_it_is_503(
    broken: Callable[[str], AbstractContextManager[None]],
    server: KeyServer,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """Discovery, calls and feedback alike: nothing passes, whoever signed it; what needs no signature is answered."""
    monkeypatch.setattr("cds.hooks.replay._WAIT", 0.05)
    client = request.getfixturevalue("signed_app").test_client()
    with broken(database):
        for path in ("/cds-services", PATH, f"{PATH}/feedback"):
            headers = {"Authorization": f"Bearer {token(PUBLIC_URL + path, NOW)}"}
            answer = (
                client.get(path, headers=headers) if path == "/cds-services" else client.post(path, headers=headers)
            )
            assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
            assert "jti" in answer.json["issue"][0]["diagnostics"]
        assert client.get("/health").status_code == 200
    if broken is _locked:
        assert client.get("/cds-services", headers={"Authorization": f"Bearer {token(URL, NOW)}"}).status_code == 401
        signed = token(PUBLIC_URL + "/cds-services", NOW)
        assert client.get("/cds-services", headers={"Authorization": f"Bearer {signed}"}).status_code == 200


def test_where_keys_cannot_be_had_it_is_503(signed_app: Flask, server: KeyServer) -> None:
    server.answer = _status(500)
    assert get(signed_app, token(PUBLIC_URL + "/cds-services", NOW)).status_code == 503


# ---- the client's side


def test_what_we_sign_we_accept(tmp_path: Path, database: str) -> None:
    for algorithm in ("ES256", "ES384", "ES512", "RS384"):
        key = KEYS[algorithm]
        file, published_at = tmp_path / "key.pem", tmp_path / "jwks.json"
        file.write_bytes(pem(key))
        published_at.write_bytes(jwks(public_jwk(key)))
        trust = Trust([(ISSUER, published_at.as_uri())], public_url=PUBLIC_URL, replays=ReplayStore.open(database))
        signer = Signer.load(file, ISSUER)
        assert trust.admit(signer.authorization(URL, now=NOW), PATH, now=NOW) == ISSUER
        assert "PRIVATE" not in repr(signer)


def test_a_file_that_holds_no_key(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    for content in (b"", b"text", pem(make_key("ES256"))[:-60]):
        file.write_bytes(content)
        with pytest.raises(ContentError, match="no private key"):
            Signer.load(file, ISSUER)
    with pytest.raises(ContentError):
        Signer.load(tmp_path / "none.pem", ISSUER)
