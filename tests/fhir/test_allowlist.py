"""Which servers may be read, and every way round that we could think of."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from cds.errors import ContentError
from cds.fhir.allowlist import Allowlist, Base, Origin, follow

EHR = "https://ehr.example/fhir"
LISTED = Allowlist.of([EHR, "http://fhir.localhost:8081/fhir", "https://10.1.2.3", "https://[2001:db8::1]/r4"])
HERE = Allowlist.of([], loopback=True)


@pytest.fixture(autouse=True)
def nothing_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: Any, **__: Any) -> Any:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.mark.parametrize(
    "address",
    [
        EHR,
        EHR + "/",
        "HTTPS://EHR.Example/fhir",
        "https://ehr.example:443/fhir",
        "http://fhir.localhost:8081/fhir",
        "https://10.1.2.3/",
        "https://[2001:DB8:0:0::1]/r4",
    ],
)
def test_what_is_listed_may_be_read_however_it_is_written(address: str) -> None:
    assert LISTED.find(address) in LISTED.bases


@pytest.mark.parametrize(
    "address",
    [
        # another server
        "https://other.example/fhir",
        "https://ehr.example.evil.example/fhir",
        "https://evil-ehr.example/fhir",
        "https://ehr.examplex/fhir",
        "https://fhir.ehr.example/fhir",
        "https://ehr/fhir",
        # another scheme or port
        "http://ehr.example/fhir",
        "http://ehr.example:443/fhir",
        "https://ehr.example:8443/fhir",
        "https://ehr.example:80/fhir",
        "http://fhir.localhost/fhir",
        "ftp://ehr.example/fhir",
        "ws://ehr.example/fhir",
        "file:///fhir",
        "gopher://ehr.example/fhir",
        "jar:https://ehr.example/fhir",
        # odd ports
        "https://ehr.example:/fhir",
        "https://ehr.example:0443/fhir",
        "https://ehr.example:65979/fhir",
        "https://ehr.example:+443/fhir",
        "https://ehr.example:-1/fhir",
        "https://ehr.example:443:443/fhir",
        "https://ehr.example:４４３/fhir",
        # credentials, and what looks like them
        "https://a:b@ehr.example/fhir",
        "https://ehr.example@evil.example/fhir",
        "https://evil.example@ehr.example/fhir",
        "https://ehr.example:443@evil.example/fhir",
        "https://@ehr.example/fhir",
        # signs that programs read differently
        "https://ehr.example\\@evil.example/fhir",
        "https://evil.example\\.ehr.example/fhir",
        "https:\\\\ehr.example/fhir",
        "https:/ehr.example/fhir",
        "https:///ehr.example/fhir",
        "//ehr.example/fhir",
        "ehr.example/fhir",
        " https://ehr.example/fhir",
        "https://ehr.example/fhir ",
        "https://ehr.example/fhir\n",
        "https://ehr.example\t/fhir",
        "https://ehr.example\r\nX: y/fhir",
        "https://ehr.example\x00/fhir",
        "https://ehr.example;evil.example/fhir",
        "https://ehr.example,evil.example/fhir",
        "https://ehr%2eexample/fhir",
        "https://ehr.example%00.evil.example/fhir",
        "https://ehr.example#@evil.example/fhir",
        "https://ehr.example#/fhir",
        "https://ehr.example?/fhir",
        # trailing dots, letters of other alphabets
        "https://ehr.example./fhir",
        "https://ehr..example/fhir",
        "https://.ehr.example/fhir",
        "https://еhr.example/fhir",
        "https://ehr。example/fhir",
        "https://ⓔhr.example/fhir",
        # another path
        "https://ehr.example",
        "https://ehr.example/",
        "https://ehr.example/FHIR",
        "https://ehr.example/fhir2",
        "https://ehr.example/fhir/..",
        "https://ehr.example/fhir/../admin",
        "https://ehr.example/./fhir",
        "https://ehr.example//fhir",
        "https://ehr.example/fhir//",
        "https://ehr.example/fhir/Patient",
        "https://ehr.example/fhi%72",
        "https://ehr.example/fhir?x=1",
        "https://ehr.example/fhir#x",
        "https://ehr.example/fhir;x",
        "https://ehr.example/x/../fhir",
        # addresses written otherwise
        "https://10.1.515",
        "https://10.66051",
        "https://167838211",
        "https://0xa010203",
        "https://0x0a.0x01.0x02.0x03",
        "https://012.01.02.03",
        "https://010.1.2.3",
        "https://10.1.2.3.",
        "https://10.1.2.03",
        "https://[::ffff:10.1.2.3]",
        "https://[::ffff:a01:203]",
        "https://[::10.1.2.3]",
        "https://[64:ff9b::a01:203]",
        "https://[2001:db8::1%25eth0]/r4",
        "https://[2001:db8::1]x/r4",
        "https://2001:db8::1/r4",
        "https://[ehr.example]/fhir",
        "https://[2001:db8::1/r4",
        "",
        "https://",
        "https://:443/fhir",
    ],
)
def test_what_is_not_listed_may_not_be_read(address: str) -> None:
    assert LISTED.find(address) is None


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:9/fhir", "http://127.9.9.9", "https://localhost/fhir", "http://[::1]:8080", "http://LOCALHOST"],
)
def test_this_machine_may_be_read_where_that_was_chosen(address: str) -> None:
    assert HERE.find(address)
    assert LISTED.find(address) is None


@pytest.mark.parametrize(
    "address",
    [
        "http://10.1.2.3",
        "http://169.254.169.254/latest",
        "http://0.0.0.0",
        "http://[::]",
        "http://0",
        "http://2130706433",
        "http://0x7f000001",
        "http://017700000001",
        "http://127.1",
        "http://127.0.0.1.",
        "http://127.0.0.1.nip.io",
        "http://[::ffff:127.0.0.1]",
        "http://[0:0:0:0:0:ffff:7f00:1]",
        "http://localhost.",
        "http://localhost.example",
        "http://fhir.localhost",
        "http://localhost@169.254.169.254",
        "http://127.0.0.1@169.254.169.254",
        "http://ehr.example",
    ],
)
def test_what_is_not_this_machine_as_it_is_written(address: str) -> None:
    """Names that lead here (``fhir.localhost``, ``127.0.0.1.nip.io``) are read where they are listed, not else."""
    assert HERE.find(address) is None


@pytest.mark.parametrize(
    "address",
    [
        "his.example/fhir",
        "https://a:b@ehr.example",
        "https://ehr.example?x",
        "https://127.1/fhir",
        "https://ehr.example.",
    ],
)
def test_a_list_that_cannot_be_is_refused(address: str) -> None:
    with pytest.raises(ContentError, match="CDS_FHIR_SERVERS") as raised:
        Allowlist.of([EHR, address])
    assert address not in str(raised.value), "it may hold a password"


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("https://ehr.example/fhir?page=2", "https://ehr.example/fhir?page=2"),
        ("HTTPS://EHR.example:443/elsewhere/on/it", "https://EHR.example:443/elsewhere/on/it"),
        ("/fhir?_getpages=1&x=a|b", "https://ehr.example/fhir?_getpages=1&x=a|b"),
        ("?page=2", "https://ehr.example/fhir/Condition?page=2"),
        ("Condition?page=2", "https://ehr.example/fhir/Condition?page=2"),
        ("../fhir/Condition", "https://ehr.example/fhir/Condition"),
        ("/../../x", "https://ehr.example/x"),
        ("//ehr.example/x", "https://ehr.example/x"),
        ("///evil.example/x", "https://ehr.example/evil.example/x"),
    ],
)
def test_links_on_a_server_are_followed(link: str, url: str) -> None:
    assert follow(link, found_at=f"{EHR}/Condition?patient=1", origin=Base.of(EHR).origin) == url  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "link",
    [
        "",
        "//evil.example/x",
        "/\\evil.example/x",
        "\\\\evil.example/x",
        "https:\\\\evil.example",
        "http://ehr.example/fhir",
        "https://ehr.example:444/fhir",
        "https://ehr.example@evil.example/",
        "https://a@ehr.example/fhir",
        "https://ehr.example.:443/",
        "https://ehr.example#@evil.example/",
        "ftp://ehr.example/",
        "javascript:1",
        "data:application/json,{}",
        "file:///etc/passwd",
        "/x\r\nHost: evil.example",
        "/x y",
        "http://[",
        "https://[::1",
        "\t//evil.example",
    ],
)
def test_links_off_a_server_are_not(link: str) -> None:
    assert follow(link, found_at=f"{EHR}/Condition?patient=1", origin=Base.of(EHR).origin) is None  # type: ignore[union-attr]


def test_one_way_of_writing() -> None:
    assert str(Base.of("HTTPS://Ehr.Example:443/R4/")) == "https://ehr.example/R4"
    assert str(Base.of("http://[0:0::1]:80")) == "http://[::1]"
    assert Origin.of("https://ehr.example") == Origin.of("https://EHR.example:443/x?y")
