"""A registry record as a value: what the registry's forms say in other words, told apart.

What a form does not hold is None or empty here, never guessed: the text has no registry number, phase, status, sponsor
or site; the CSV download has no eligibility list.

Source: https://clinicaltrials.gov/data-api/about-api/study-data-structure (the modules of ``protocolSection``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from cds.errors import ContentError


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in the record: its field, the file, and the line in it (None where lines mean nothing)."""

    file: str
    field: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.field}" if self.line else f"{self.file}: {self.field}"


@dataclass(frozen=True, slots=True)
class Text:
    """A text of the record, as it is to be read (Markdown's escapes taken away), and where it stands."""

    value: str
    place: Place


@dataclass(frozen=True, slots=True)
class Outcome:
    """An outcome measure; `kind` is ``primary``, ``secondary`` or ``other``; `verbatim` is all of it."""

    kind: str
    measure: str
    description: str | None
    time_frame: str | None
    verbatim: str
    place: Place


@dataclass(frozen=True, slots=True)
class Intervention:
    """What is given or done: the registry's type (``DRUG``), its name, and what else is said of it."""

    type: str | None
    name: str
    place: Place
    description: str | None = None
    other_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Arm:
    """An arm as the registry has it; `type` is the registry's code (``EXPERIMENTAL``)."""

    label: str
    type: str | None
    description: str | None
    interventions: tuple[str, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Site:
    """A place where the study is run."""

    facility: str | None
    city: str | None
    state: str | None
    postal_code: str | None
    country: str | None
    verbatim: str


@dataclass(frozen=True, slots=True)
class Record:
    """One registry record.

    `form` is ``text``, ``json`` or ``csv``; `name` the local name of the file; `original` its bytes (of a page or a
    download of several studies: this one alone). `eligibility` is the list of criteria as written, None where the
    record came without it; `description` is what stands beside it. `status` and `phases` are the registry's codes,
    `age_groups` its words (``ADULT, OLDER_ADULT``), which the CSV download has in place of ages.
    """

    form: str
    name: str
    original: bytes
    title: Text
    official_title: Text | None = None
    acronym: str | None = None
    nct: str | None = None
    other_ids: tuple[str, ...] = ()
    status: str | None = None
    study_type: str | None = None
    phases: tuple[str, ...] = ()
    summary: Text | None = None
    description: Text | None = None
    conditions: tuple[Text, ...] = ()
    keywords: tuple[Text, ...] = ()
    interventions: tuple[Intervention, ...] = ()
    arms: tuple[Arm, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    sponsor: str | None = None
    collaborators: tuple[str, ...] = ()
    sites: tuple[Site, ...] = ()
    sex: str | None = None
    minimum_age: str | None = None
    maximum_age: str | None = None
    age_groups: str | None = None
    enrollment: int | None = None
    start: str | None = None
    completion: str | None = None
    eligibility: Text | None = None

    @property
    def texts(self) -> tuple[Text, ...]:
        """The prose of the record: titles, summary, description."""
        prose = (self.title, self.official_title, self.summary, self.description)
        return tuple(text for text in prose if text is not None)


def unescaped(text: str) -> str:
    r"""A registry text as it is to be read: without the escapes that Markdown asks for.

    >>> unescaped(r"aged \\< 75 years")
    'aged < 75 years'
    """
    return re.sub(r"\\([<>\[\]*_~#`^])", r"\1", text)


def chosen_study(path: Path, names: list[str], nct: str | None) -> int:
    """Which of several studies is meant."""
    listed = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    if nct is not None:
        for index, name in enumerate(names):
            if name.upper() == nct.upper():
                return index
        raise ContentError(f"does not hold {nct.upper()}", where=str(path), remedy=f"it holds {listed}")
    if len(names) > 1:
        raise ContentError(
            f"holds {len(names)} studies: {listed}", where=str(path), remedy=f"choose one, such as --nct {names[0]}"
        )
    return 0
