"""Rules 69 to 79: signed calls, and browsers of other origins."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import jwt
import orjson
import pytest
import requests
from caller import Caller, body, refused
from cryptography.hazmat.primitives import serialization
from signed import KEYS, OTHER, KeyServer, claims, jwks, published, token

from cds.hooks.signing import public_jwk

SERVICE = "/cds-services/trial-match"
DISCOVERY = "/cds-services"
FEEDBACK = f"{SERVICE}/feedback"


def _refused(answer: requests.Response, *about: str) -> None:
    """401, a challenge, an OperationOutcome that says what was wrong; and the token shows nowhere."""
    told = refused(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert any(told.startswith(one) for one in about), told
    token = str(answer.request.headers.get("Authorization", "")).removeprefix("Bearer ")
    assert len(token) < 20 or token not in answer.text + str(answer.headers)


def _call(signer: Caller, **changes: Any) -> requests.Response:
    return signer.post(body(), Authorization=signer.authorization(SERVICE, **changes))


@pytest.fixture
def keys(key_server: KeyServer) -> Iterator[KeyServer]:
    yield key_server
    key_server.restore()


@pytest.mark.parametrize(("method", "path"), [("GET", DISCOVERY), ("POST", SERVICE), ("POST", FEEDBACK)])
@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer abc", "Basic YTpi", "Bearer a.b.c"])
def test_70_every_request_is_signed(signer: Caller, method: str, path: str, authorization: str | None) -> None:
    headers = {"Authorization": authorization, "Content-Type": "application/json"}
    _refused(signer.call(method, path, headers=headers, json=body()), "Authorization", "header")


def test_70_what_is_not_there_is_told_to_nobody(signer: Caller) -> None:
    for path in ("/nowhere", "/cds-services/other", "/cds-services//trial-match", "//cds-services"):
        _refused(signer.get(path, headers={"Authorization": None}), "Authorization")


def test_70_health_is_open_and_tells_nothing_of_patients(signer: Caller) -> None:
    assert signer.get("/health", headers={"Authorization": None}).status_code == 200


@pytest.mark.parametrize("name", ["iss", "aud", "exp", "iat", "jti"])
def test_70_required_claims(signer: Caller, name: str) -> None:
    _refused(_call(signer, **{name: ...}), name)


@pytest.mark.parametrize("name", ["kid", "typ"])
def test_70_required_headers(signer: Caller, name: str) -> None:
    head = {"alg": "ES384", "kid": "ES384", "typ": "JWT"}
    del head[name]
    signing = ".".join(
        base64.urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=").decode()
        for part in (head, claims(signer.address + SERVICE, _now()))
    )
    signature = jwt.algorithms.get_default_algorithms()["ES384"].sign(signing.encode(), KEYS["ES384"])
    token = f"{signing}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    _refused(signer.post(body(), Authorization=f"Bearer {token}"), name)


def _now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
def test_70_a_signed_call_is_answered(signer: Caller, algorithm: str) -> None:
    assert _call(signer, algorithm=algorithm).status_code == 200


def test_70_a_tenant_is_let_pass(signer: Caller) -> None:
    assert _call(signer, tenant="north", sub="x").status_code == 200


def test_71_aud_is_the_url_that_is_called(signer: Caller) -> None:
    for other in (DISCOVERY, "/cds-services/other", "", SERVICE + "?a=b"):
        wrong = signer.authorization(other)
        _refused(signer.post(body(), Authorization=wrong), "aud")
    elsewhere = Caller("https://elsewhere.example", signs=True).authorization(SERVICE)
    _refused(signer.post(body(), Authorization=elsewhere), "aud")


def test_71_aud_may_be_a_list_and_end_with_a_slash(signer: Caller) -> None:
    aud = signer.address + SERVICE
    assert _call_for(signer, [aud, "https://elsewhere.example"]).status_code == 200
    assert _call_for(signer, aud + "/").status_code == 200


def _call_for(signer: Caller, aud: Any) -> requests.Response:
    return signer.post(body(), Authorization="Bearer " + token(aud, _now()))


def test_71_the_host_header_does_not_say_where_we_are(signer: Caller) -> None:
    token = Caller("http://evil.example", signs=True).authorization(SERVICE)
    _refused(signer.post(body(), Authorization=token, Host="evil.example", X_Forwarded_Host="evil.example"), "aud")


def test_72_neither_none_nor_hmac(signer: Caller) -> None:
    public = (
        KEYS["RS384"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    for algorithm in ("none", "None", "HS256", "HS384", "HS512"):
        head = {"alg": algorithm, "kid": "RS384", "typ": "JWT"}
        signing = ".".join(
            base64.urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=").decode()
            for part in (head, claims(signer.address + SERVICE, _now()))
        )
        mac = hmac.new(public, signing.encode(), hashlib.sha384).digest()
        for signature in ("", base64.urlsafe_b64encode(mac).rstrip(b"=").decode()):
            _refused(signer.post(body(), Authorization=f"Bearer {signing}.{signature}"), "alg")


def test_73_issuers_and_key_sets_that_are_not_listed(signer: Caller, keys: KeyServer) -> None:
    _refused(_call(signer, iss="https://stranger.example"), "iss")
    asked = keys.asked
    trap = KeyServer()
    trap.content = jwks(public_jwk(OTHER, kid="ES384"))
    _refused(_call(signer, key=OTHER, header={"jku": trap.url}), "jku")
    assert trap.asked == 0 and keys.asked == asked
    trap.close()


def test_73_a_listed_jku_serves(signer: Caller, keys: KeyServer) -> None:
    assert _call(signer, header={"jku": keys.url}).status_code == 200


def test_74_kid_picks_the_key(signer: Caller) -> None:
    _refused(_call(signer, key=OTHER), "signature")
    _refused(_call(signer, header={"kid": "unknown"}), "kid")
    _refused(_call(signer, header={"kid": "ES256"}), "kid")


def test_74_keys_rotate(signer: Caller, keys: KeyServer) -> None:
    keys.content = jwks(*published(), public_jwk(OTHER, kid="new"))
    assert _call(signer, key=OTHER, header={"kid": "new"}).status_code == 200


def test_75_expired_or_used_tokens(signer: Caller) -> None:
    now = int(time.time())
    _refused(_call(signer, exp=now - 1), "exp")
    _refused(_call(signer, exp=now - 3600, iat=now - 7200), "exp")
    token = signer.authorization(SERVICE)
    assert signer.post(body(), Authorization=token).status_code == 200
    for _ in range(4):  # whichever worker answers
        _refused(signer.post(body(), Authorization=token), "jti")


def test_75_a_lifetime_is_bounded_and_clocks_may_differ_a_little(signer: Caller) -> None:
    now = int(time.time())
    _refused(_call(signer, exp=now + 7200), "exp")
    _refused(_call(signer, iat=now + 600, exp=now + 900), "iat")
    assert _call(signer, iat=now + 20).status_code == 200


def test_76_a_key_serves_its_own_algorithm(signer: Caller) -> None:
    _refused(_call(signer, algorithm="RS384", header={"kid": "ES384"}), "kid")


def test_67_feedback_is_signed_like_calls(signer: Caller) -> None:
    """For its own URL or its service's; whether there is feedback at all is another matter."""
    for path in (FEEDBACK, SERVICE):
        answer = signer.post({"feedback": []}, FEEDBACK, Authorization=signer.authorization(path))
        assert answer.status_code != 401
    _refused(signer.post({"feedback": []}, FEEDBACK, Authorization=signer.authorization(DISCOVERY)), "aud")


def test_69_a_large_unsigned_body_is_refused_and_the_refusal_arrives(signer: Caller) -> None:
    _refused(signer.post(b" " * 8_000_000, Authorization=None), "Authorization")


# ---- 9. CORS


ORIGIN = {"Origin": "https://sandbox.example"}
ASKED = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, content-type"}


@pytest.mark.parametrize("path", [DISCOVERY, DISCOVERY + "/", SERVICE, SERVICE + "/", FEEDBACK])
def test_77_browsers_may_ask(caller: Caller, path: str) -> None:
    answer = caller.call("OPTIONS", path, headers={**ORIGIN, **ASKED})
    assert answer.status_code in (200, 204) or path == FEEDBACK
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", ORIGIN["Origin"])
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]


def test_78_a_preflight_is_not_signed_and_names_authorization(caller: Caller) -> None:
    for path in (DISCOVERY, SERVICE):
        answer = caller.call("OPTIONS", path, headers={**ORIGIN, **ASKED, "Authorization": None})
        assert answer.status_code in (200, 204)
        allowed = {one.strip().lower() for one in answer.headers["Access-Control-Allow-Headers"].split(",")}
        assert {"authorization", "content-type"} <= allowed


def test_79_refusals_are_readable_for_browsers(caller: Caller) -> None:
    answers = [
        caller.get(DISCOVERY, headers=ORIGIN),
        caller.post(body(), Origin=ORIGIN["Origin"]),
        caller.post(b"{", Origin=ORIGIN["Origin"]),
        caller.post(body(prefetch={}), Origin=ORIGIN["Origin"]),
        caller.get("/nowhere", headers=ORIGIN),
    ]
    if caller.signs:
        answers.append(caller.get(DISCOVERY, headers={**ORIGIN, "Authorization": None}))
        assert answers[-1].status_code == 401
    for answer in answers:
        origin = answer.headers["Access-Control-Allow-Origin"]
        assert origin == "*" or "Origin" in answer.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in answer.headers
