"""What is logged: one line an event, as JSON or text, and nothing that a fixture holds of a patient."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from charts import ROOT, said_of_a_patient, secrets

from cds.errors import place_of
from cds.logs import JsonFormatter, TextFormatter, configuration


def record(name: str, message: str, *arguments: object, **more: object) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.INFO, "/lib/x.py", 7, message, arguments, None)
    made.created = 1795176000.25
    made.__dict__.update(more)
    return made


def failed() -> logging.LogRecord:
    try:
        raise ValueError("Anna Berger")
    except ValueError:
        return record("cds.hooks", "it failed", exc_info=sys.exc_info())


def test_an_event_as_json() -> None:
    told = {"status": 200, "trials": ["a", "b"], "stages": {"match": 1.5}, "service": None}
    line = JsonFormatter().format(record("cds.request", "POST %d", 200, told=told))
    assert json.loads(line) == {
        "time": "2026-11-20T12:00:00.250Z",
        "level": "INFO",
        "logger": "cds.request",
        "message": "POST 200",
        "status": 200,
        "trials": ["a", "b"],
        "stages": {"match": 1.5},
    }


def test_an_event_as_text() -> None:
    told = {"status": 200, "trials": ["a", "b"], "stages": {"match": 1.5}}
    line = TextFormatter().format(record("cds.request", "POST %d", 200, told=told))
    assert line == "2026-11-20T12:00:00.250Z INFO cds.request: POST 200 status=200 trials=a,b stages=match:1.5"


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_an_event_is_one_line(formatter: logging.Formatter) -> None:
    assert "\n" not in formatter.format(record("cds.hooks", "one\ntwo"))
    assert "\n" not in formatter.format(failed())


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
@pytest.mark.parametrize(
    "quoting",
    [
        record("urllib3.connectionpool", "Retrying %s", "/Observation?patient=anna-berger"),
        record("gunicorn.error", "Error handling request %s", "/?name=Berger"),
        record("gunicorn.error", "Invalid request from ip=127.0.0.1: 'Anna Berger'"),
        record("py.warnings", "Berger is no date"),
    ],
)
def test_what_others_quote_is_not_repeated(formatter: logging.Formatter, quoting: logging.LogRecord) -> None:
    line = formatter.format(quoting)
    assert said_of_a_patient(line) is None and quoting.name in line and "/lib/x.py:7" in line


def test_of_an_exception_its_type_and_place_are_told() -> None:
    line = TextFormatter().format(failed())
    assert "ValueError" in line and f"{__file__}:" in line and "Berger" not in line
    assert place_of(ValueError()) == "?"


@pytest.mark.parametrize("form", ["json", "text"])
def test_what_the_server_says_of_itself_is_told(form: str) -> None:
    made = configuration("WARNING", form)["formatters"]["ours"]["()"]()
    assert "Booting worker with pid: 7" in made.format(record("gunicorn.error", "Booting worker with pid: %s", 7))


def test_the_fixtures_hold_something_to_look_for() -> None:
    assert {"Berger", "anna-berger", "1979-03-08", "dr-lee", "McGlynn"} <= secrets()


@pytest.mark.parametrize(
    "line",
    ["POST /Patient/anna-berger 200", '{"name": "Berger"}', "Bearer eyJhbGciOiJFUzM4NCJ9.eyJpc3MiOiJodHRwczovL2UifQ.x"],
)
def test_a_leak_is_seen(line: str) -> None:
    assert said_of_a_patient(line)


def test_a_line_without_one_is_not_complained_of() -> None:
    assert said_of_a_patient("POST /cds-services/<service_id> 200 service=trial-match cards=2") is None


def test_a_session_fails_in_which_a_name_is_logged(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_bytes((ROOT / "tests" / "conftest.py").read_bytes())
    test = tmp_path / "test_leak.py"
    test.write_text("import logging\ndef test_it():\n    logging.getLogger('cds.hooks').debug('for Berger')\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(test)]
    paths = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    ended = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1 and "'Berger' stands in the log" in ended.stdout
