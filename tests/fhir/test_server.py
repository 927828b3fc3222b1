"""Reading from FHIR servers that do what they should, and from those that do not."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from ehr import Ehr
from faults import ENDLESS, LOSSES, LOSSES_OF_SEARCHES, OUTCOME, TOLERATED, TOLERATED_OF_SEARCHES

from cds.fhir.allowlist import Allowlist, Base
from cds.fhir.server import Answer, Limits, Servers, Wanted

TOKEN = "secret-token-of-anna"
PATIENT = {"resourceType": "Patient", "id": "anna", "name": [{"family": "Berger"}]}
CONDITIONS = [
    {"resourceType": "Condition", "id": f"c{number}", "subject": {"reference": "Patient/anna"}} for number in range(5)
]
SEARCH = Wanted("Condition", "Condition?patient=anna")
READ = Wanted("Patient", "Patient/anna")
#: Time enough for whatever ends by itself, and none for what does not.
PATIENCE = Limits(seconds=30, bytes=2_000_000, pages=5, resources=1_000)
HASTE = Limits(seconds=0.3)


@pytest.fixture
def ehr() -> Iterator[Ehr]:
    server = Ehr([PATIENT, *CONDITIONS], page=2, token=TOKEN)
    yield server
    server.close()


@pytest.fixture
def trap(ehr: Ehr) -> Iterator[Ehr]:
    """Another server, that nobody should ask."""
    server = Ehr([PATIENT, *CONDITIONS])
    ehr.elsewhere = server.url
    yield server
    server.close()


def read(ehr: Ehr, wanted: Wanted, limits: Limits = PATIENCE, **options: Any) -> Answer:
    servers = Servers(Allowlist.of([ehr.url]), limits, **options)
    base = servers.allowlist.find(ehr.url)
    assert base
    answer = servers.open(base, TOKEN).read({"one": wanted})["one"]
    servers.close()
    return answer


def ids(answer: Answer) -> set[str]:
    return {one["id"] for one, _ in answer.resources if one["resourceType"] == "Condition"}


ALL = {one["id"] for one in CONDITIONS}


def silent(answer: Answer, ehr: Ehr) -> bool:
    """Whether an answer's words hold nothing that a server or a request said."""
    words = answer.problem or ""
    return not any(one in words for one in (TOKEN, "anna", "Berger", ehr.url, ehr.elsewhere or ehr.url, "patient="))


def test_all_pages_are_read_with_the_token_and_on_one_connection(ehr: Ehr) -> None:
    answer = read(ehr, SEARCH)
    assert (ids(answer), answer.problem, answer.outcome) == (ALL, None, "ok")
    assert len(ehr.asked) == 3 and {token for _, token in ehr.asked} == {f"Bearer {TOKEN}"}
    assert ehr.connections == 1


def test_one_resource_is_read_by_its_id(ehr: Ehr) -> None:
    assert read(ehr, READ).resources == [(PATIENT, None)]


@pytest.mark.parametrize("wanted", [SEARCH, READ], ids=["search", "read"])
@pytest.mark.parametrize("name", ENDLESS)
def test_what_does_not_end_ends_at_the_deadline(ehr: Ehr, name: str, wanted: Wanted) -> None:
    ehr.faults[""] = ENDLESS[name]
    answer = read(ehr, wanted, HASTE)
    assert answer.outcome == "timeout"
    assert answer.problem == "the FHIR server did not answer within 0.3 seconds"
    assert not answer.resources


@pytest.mark.parametrize("wanted", [SEARCH, READ], ids=["search", "read"])
@pytest.mark.parametrize("name", LOSSES)
def test_faults_end_in_words(ehr: Ehr, trap: Ehr, name: str, wanted: Wanted) -> None:
    outcome, ehr.faults[""] = LOSSES[name]
    answer = read(ehr, wanted)
    assert answer.outcome == outcome, answer.problem
    assert answer.problem and silent(answer, ehr)
    assert trap.asked == []


@pytest.mark.parametrize("name", LOSSES_OF_SEARCHES)
def test_faults_of_searches(ehr: Ehr, trap: Ehr, name: str) -> None:
    outcome, ehr.faults["Condition"] = LOSSES_OF_SEARCHES[name]
    answer = read(ehr, SEARCH)
    assert answer.outcome == outcome, answer.problem
    assert bool(answer.problem) is (outcome != "ok") and silent(answer, ehr)
    assert trap.asked == []


@pytest.mark.parametrize("wanted", [SEARCH, READ], ids=["search", "read"])
@pytest.mark.parametrize("name", TOLERATED)
def test_what_is_tolerated_loses_nothing(ehr: Ehr, name: str, wanted: Wanted) -> None:
    ehr.faults[wanted.kind] = TOLERATED[name]
    answer = read(ehr, wanted)
    assert answer.problem is None
    assert ids(answer) == ALL if wanted is SEARCH else answer.resources == [(PATIENT, None)]


@pytest.mark.parametrize("name", TOLERATED_OF_SEARCHES)
def test_searches_that_are_tolerated(ehr: Ehr, name: str) -> None:
    ehr.faults["Condition"] = TOLERATED_OF_SEARCHES[name]
    answer = read(ehr, SEARCH)
    assert (ids(answer), answer.problem) == (ALL, None)


@pytest.mark.parametrize(
    "sent", [PATIENT | {"id": "other"}, PATIENT | {"id": None}, CONDITIONS[0], {"resourceType": "Bundle", "id": "anna"}]
)
def test_another_resource_than_was_asked_for(ehr: Ehr, sent: dict[str, Any]) -> None:
    ehr.faults["Patient"] = lambda call: call.send(sent)
    answer = read(ehr, READ)
    assert (answer.outcome, answer.resources) == ("wrong", [])


# ---- what is asked again, and what is not


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("closes at once", 3),
        ("503 for ever", 3),
        ("429 for ever", 3),
        ("429 for long", 1),
        ("503 for long", 1),
        ("401", 1),
        ("500", 1),
        ("HTML", 1),
        ("JSON that is cut", 1),
        ("an OperationOutcome", 1),
    ],
)
def test_only_what_may_pass_is_asked_again(ehr: Ehr, name: str, times: int) -> None:
    _, ehr.faults["Patient"] = LOSSES[name]
    read(ehr, READ)
    assert len(ehr.asked) == times


def test_what_may_pass_is_not_asked_again_when_there_is_no_time(ehr: Ehr) -> None:
    ehr.faults["Patient"] = lambda call: call.send(OUTCOME, 503, Retry_After="20")
    assert read(ehr, READ, HASTE).outcome == "failed"
    assert len(ehr.asked) == 1


def test_a_server_that_is_not_there(ehr: Ehr) -> None:
    ehr.close()
    answer = read(ehr, SEARCH)
    assert answer.outcome == "unreachable" and silent(answer, ehr)


def test_a_search_is_sent_plainly_where_its_parameters_are_not_known(ehr: Ehr) -> None:
    wanted = Wanted("MedicationRequest", "MedicationRequest?patient=anna")
    ehr.faults["MedicationRequest"] = TOLERATED_OF_SEARCHES["knows neither _count nor _include"]
    assert read(ehr, wanted).problem is None
    assert [path.partition("/fhir/")[2] for path, _ in ehr.asked] == [
        "MedicationRequest?patient=anna&_count=250&_include=MedicationRequest:medication",
        "MedicationRequest?patient=anna",
    ]


# ---- pages that go on where others stopped


def test_a_search_goes_on_at_a_next_page(ehr: Ehr) -> None:
    page = f"{ehr.url}/Condition?patient=anna&_offset=2"
    answer = read(ehr, Wanted("Condition", SEARCH.query, page, frozenset(("c0", "c1"))))
    assert (ids(answer), answer.problem) == ({"c2", "c3", "c4"}, None)


@pytest.mark.parametrize("page", ["/fhir/Gone/1", "https://elsewhere.example/Condition", "file:///etc/passwd", "\\x"])
def test_a_search_starts_anew_where_its_next_page_leads_nowhere(ehr: Ehr, page: str) -> None:
    answer = read(ehr, Wanted("Condition", SEARCH.query, page, frozenset(("c0", "c1"))))
    assert (ids(answer), answer.problem) == (ALL, None)


def test_what_came_before_a_page_failed_is_kept(ehr: Ehr) -> None:
    ehr.faults["Condition"] = lambda call: call.well() if call.number == 1 else call.send(OUTCOME, 500)
    answer = read(ehr, SEARCH)
    assert (ids(answer), answer.outcome) == ({"c0", "c1"}, "failed")


def test_what_came_before_the_deadline_is_kept(ehr: Ehr) -> None:
    ehr.faults["Condition"] = lambda call: call.well() if call.number == 1 else call.wait()
    answer = read(ehr, SEARCH, HASTE)
    assert (ids(answer), answer.outcome) == ({"c0", "c1"}, "timeout")


# ---- limits


def test_limits_hold_for_all_that_a_call_reads(ehr: Ehr) -> None:
    servers = Servers(Allowlist.of([ehr.url]), Limits(seconds=30, resources=7))
    base = Base.of(ehr.url)
    assert base
    reading = servers.open(base, TOKEN)
    first = reading.read({"a": SEARCH})["a"]
    second = reading.read({"b": SEARCH})["b"]
    assert (first.outcome, second.outcome) == ("ok", "limit")


def test_no_more_connections_than_the_limits_say(ehr: Ehr) -> None:
    together, most = 0, 0
    lock = threading.Lock()

    def counted(call: Any) -> None:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        call.wait(0.005)
        with lock:
            together -= 1
        call.well()

    ehr.faults[""] = counted
    servers = Servers(Allowlist.of([ehr.url]), Limits(seconds=30, parallel=3))
    base = Base.of(ehr.url)
    assert base
    answers = servers.open(base, TOKEN).read({str(number): SEARCH for number in range(12)})
    assert all(ids(answer) == ALL for answer in answers.values())
    assert most <= 3


def test_each_query_is_counted_once(ehr: Ehr) -> None:
    told: list[tuple[str, str]] = []
    ehr.faults["Patient"] = ENDLESS["hangs in its body"]
    servers = Servers(Allowlist.of([ehr.url]), HASTE, observe=lambda kind, outcome, _: told.append((kind, outcome)))
    base = Base.of(ehr.url)
    assert base
    servers.open(base, TOKEN).read({"a": SEARCH, "b": READ})
    assert sorted(told) == [("Condition", "ok"), ("Patient", "timeout")]


def test_an_id_that_is_a_path_is_not_read(ehr: Ehr) -> None:
    assert read(ehr, Wanted("Patient", "Patient/..")).outcome == "wrong"
    assert ehr.asked == []


# ---- what cannot be given up: names that are looked up


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Names are looked up until this is set."""
    found = threading.Event()

    def look_up(*_: Any, **__: Any) -> list[Any]:
        found.wait(60)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield found
    found.set()


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "fhir"]


def test_threads_left_behind_are_few_and_hold_up_nobody(stuck: threading.Event, ehr: Ehr) -> None:
    there = Base.of("https://hangs.example/fhir")
    here = Base.of(ehr.url)
    assert there and here
    servers = Servers(Allowlist(frozenset((there, here))), Limits(seconds=0.05, parallel=4, overdue=8))
    asked = {str(number): SEARCH for number in range(4)}
    problems = [{one.outcome for one in servers.open(there, None).read(asked).values()} for _ in range(5)]
    assert problems == [{"timeout"}, {"timeout"}, {"busy"}, {"busy"}, {"busy"}]
    left = readers()
    assert len(left) == 8 and all(thread.daemon for thread in left), "the end of a process waits for none"
    assert servers.overdue(here.origin) == 0, "other servers are read as ever"
    stuck.set()
    for thread in left:
        thread.join(30)
    assert servers.overdue(there.origin) == 0
    assert {one.outcome for one in servers.open(there, None).read(asked).values()} <= {"unreachable", "timeout"}


def test_a_machine_without_threads_to_spare(ehr: Ehr, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none)
        assert read(ehr, SEARCH).outcome == "busy"


# ---- TLS


def _certificate(folder: Path, name: x509.GeneralName) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ehr")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path = folder / "ehr.pem"
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(pem) + secret)
    return path


@pytest.mark.parametrize(
    ("name", "trusted", "outcome"),
    [
        (x509.IPAddress(ip_address("127.0.0.1")), True, "ok"),
        (x509.IPAddress(ip_address("127.0.0.1")), False, "tls"),
        (x509.DNSName("other.example"), True, "tls"),
    ],
)
def test_certificates_are_checked(name: x509.GeneralName, trusted: bool, outcome: str, tmp_path: Path) -> None:
    path = _certificate(tmp_path, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    server = Ehr([PATIENT], tls=context, token=TOKEN)
    answer = read(server, READ, authorities=str(path) if trusted else "")
    assert answer.outcome == outcome
    assert len(server.asked) == (outcome == "ok"), "the token is sent to nobody who cannot prove who it is"
    server.close()


def test_plain_text_where_tls_should_be(ehr: Ehr) -> None:
    servers = Servers(Allowlist.of([ehr.url.replace("http:", "https:")]), PATIENCE)
    (base,) = servers.allowlist.bases
    assert servers.open(base, TOKEN).read({"one": READ})["one"].outcome == "tls"
    assert ehr.asked == []


def test_a_handshake_that_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silence:
        servers = Servers(Allowlist.of([f"https://127.0.0.1:{silence.getsockname()[1]}"]), HASTE)
        (base,) = servers.allowlist.bases
        assert servers.open(base, TOKEN).read({"one": READ})["one"].outcome == "timeout"


# ---- the environment


def test_the_environment_changes_nothing(ehr: Ehr, trap: Ehr, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy, no password and no certificate is taken from where others put them."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login anna password geheim\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, trap.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    servers = Servers(Allowlist.of([ehr.url]), PATIENCE)
    (base,) = servers.allowlist.bases
    assert ids(servers.open(base, TOKEN).read({"one": SEARCH})["one"]) == ALL
    servers.open(base, None).read({"one": SEARCH})
    assert {token for _, token in ehr.asked} == {f"Bearer {TOKEN}", None}
    assert trap.asked == []


def test_cookies_are_not_sent_back(ehr: Ehr) -> None:
    sent: list[str | None] = []

    def cookie(call: Any) -> None:
        sent.append(call.headers.get("Cookie"))
        TOLERATED["sets cookies"](call)

    ehr.faults[""] = cookie
    read(ehr, SEARCH)
    assert sent == [None] * 3


def test_a_proxy_that_was_chosen_is_used(ehr: Ehr) -> None:
    asked: list[str] = []

    def forward(call: Any) -> None:
        asked.append(call.path)
        call.send(PATIENT)

    proxy = Ehr([])
    proxy.faults[""] = forward
    servers = Servers(Allowlist.of(["http://ehr.example/fhir"]), PATIENCE, proxy=proxy.url.removesuffix("/fhir"))
    (base,) = servers.allowlist.bases
    assert servers.open(base, TOKEN).read({"one": READ})["one"].resources == [(PATIENT, None)]
    assert asked == ["http://ehr.example/fhir/Patient/anna"]
    proxy.close()


def test_nothing_of_it_is_logged(ehr: Ehr, trap: Ehr, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    for _, fault in (*LOSSES.values(), *LOSSES_OF_SEARCHES.values()):
        ehr.faults["Condition"] = fault
        read(ehr, SEARCH)
    assert not [one for one in (TOKEN, "anna", "Berger", "127.0.0.1", "Condition") if one in caplog.text]
