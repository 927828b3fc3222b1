"""A study of ClinicalTrials.gov's API v2, or a page of studies, as JSON -> a Record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cds.authoring.registry_record import (
    Arm,
    Intervention,
    Outcome,
    Place,
    Record,
    Site,
    Text,
    chosen_study,
    unescaped,
)
from cds.errors import ContentError

Json = dict[str, Any]


def read_json(path: Path, content: bytes, text: str, nct: str | None) -> Record:
    try:
        found = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        said = getattr(error, "msg", "nested too deep")
        cut = getattr(error, "pos", 0) >= len(text.rstrip()) - 1 or said.startswith("Unterminated string")
        raise ContentError(
            "is cut off in the middle of its JSON" if cut else f"is no JSON: {said}",
            where=f"{path}:{line}",
            remedy="download the record again",
        ) from error
    studies = found.get("studies", [found]) if isinstance(found, dict) else found
    if not isinstance(studies, list) or not all(_is_study(study) for study in studies) or not studies:
        raise ContentError(
            "is no study of the API v2: it has no protocolSection with an identificationModule",
            where=f"{path}:1",
            remedy="download it from https://clinicaltrials.gov/api/v2/studies/NCT…",
        )
    names = [str(_module(study, "identification").get("nctId", "?")) for study in studies]
    study = studies[chosen_study(path, names, nct)]
    if len(studies) > 1:
        content = (json.dumps(study, ensure_ascii=False, indent=2) + "\n").encode()
        text = content.decode()
    return _of_study(path, content, text, study)


def _is_study(study: Any) -> bool:
    section = study.get("protocolSection") if isinstance(study, dict) else None
    return isinstance(section, dict) and isinstance(section.get("identificationModule"), dict)


def _module(study: Json, name: str) -> Json:
    module = study["protocolSection"].get(f"{name}Module", {})
    return module if isinstance(module, dict) else {}


class _Study:
    """One study of the API v2: its fields as texts with their places."""

    def __init__(self, path: Path, text: str, study: Json) -> None:
        self.path, self.lines, self.study = path, text.split("\n"), study

    def place(self, module: str, field: str) -> Place:
        line = next((number for number, line in enumerate(self.lines, 1) if f'"{field}"' in line), None)
        minified = len(self.lines) <= 2
        return Place(self.path.name, f"protocolSection.{module}Module.{field}", None if minified else line)

    def text(self, module: str, field: str) -> Text | None:
        value = _string(_module(self.study, module).get(field))
        return Text(unescaped(value), self.place(module, field)) if value else None

    def texts(self, module: str, field: str) -> tuple[Text, ...]:
        place = self.place(module, field)
        return tuple(Text(unescaped(value), place) for value in _strings(_module(self.study, module).get(field)))

    def objects(self, module: str, field: str) -> list[Json]:
        found = _module(self.study, module).get(field)
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _of_study(path: Path, content: bytes, text: str, study: Json) -> Record:
    of = _Study(path, text, study)
    identification, status = _module(study, "identification"), _module(study, "status")
    design, eligibility = _module(study, "design"), _module(study, "eligibility")
    sponsors = _module(study, "sponsorCollaborators")
    title = of.text("identification", "briefTitle") or of.text("identification", "officialTitle")
    if title is None:
        raise ContentError(
            "has no title: protocolSection.identificationModule.briefTitle", where=str(path), remedy="download it again"
        )
    count = _object(design.get("enrollmentInfo")).get("count")
    return Record(
        form="json",
        name=path.stem,
        original=content,
        title=title,
        official_title=of.text("identification", "officialTitle"),
        acronym=_string(identification.get("acronym")),
        nct=_string(identification.get("nctId")),
        other_ids=tuple(
            one
            for one in (
                _string(_object(identification.get("orgStudyIdInfo")).get("id")),
                *(_string(one.get("id")) for one in of.objects("identification", "secondaryIdInfos")),
            )
            if one
        ),
        status=_string(status.get("overallStatus")),
        study_type=_string(design.get("studyType")),
        phases=tuple(_strings(design.get("phases"))),
        summary=of.text("description", "briefSummary"),
        description=of.text("description", "detailedDescription"),
        conditions=of.texts("conditions", "conditions"),
        keywords=of.texts("conditions", "keywords"),
        interventions=tuple(_json_intervention(of, one) for one in of.objects("armsInterventions", "interventions")),
        arms=tuple(_json_arm(of, one) for one in of.objects("armsInterventions", "armGroups")),
        outcomes=tuple(
            _json_outcome(of, kind, f"{kind}Outcomes", one)
            for kind in ("primary", "secondary", "other")
            for one in of.objects("outcomes", f"{kind}Outcomes")
        ),
        sponsor=_string(_object(sponsors.get("leadSponsor")).get("name")),
        collaborators=tuple(
            name for one in of.objects("sponsorCollaborators", "collaborators") if (name := _string(one.get("name")))
        ),
        sites=tuple(_json_site(one) for one in of.objects("contactsLocations", "locations")),
        sex=_string(eligibility.get("sex")),
        minimum_age=_string(eligibility.get("minimumAge")),
        maximum_age=_string(eligibility.get("maximumAge")),
        enrollment=count if isinstance(count, int) else None,
        start=_string(_object(status.get("startDateStruct")).get("date")),
        completion=_string(_object(status.get("completionDateStruct")).get("date")),
        eligibility=of.text("eligibility", "eligibilityCriteria"),
    )


def _json_intervention(of: _Study, one: Json) -> Intervention:
    return Intervention(
        _string(one.get("type")),
        _string(one.get("name")) or "?",
        of.place("armsInterventions", "interventions"),
        _unescaped(one.get("description")),
        tuple(_strings(one.get("otherNames"))),
    )


def _json_arm(of: _Study, one: Json) -> Arm:
    return Arm(
        _string(one.get("label")) or "?",
        _string(one.get("type")),
        _unescaped(one.get("description")),
        tuple(_strings(one.get("interventionNames"))),
        of.place("armsInterventions", "armGroups"),
    )


def _json_outcome(of: _Study, kind: str, field: str, one: Json) -> Outcome:
    measure, description = _unescaped(one.get("measure")) or "?", _unescaped(one.get("description"))
    frame = _unescaped(one.get("timeFrame"))
    verbatim = ", ".join(part for part in (measure, description, frame) if part)
    return Outcome(kind, measure, description, frame, verbatim, of.place("outcomes", field))


def _json_site(one: Json) -> Site:
    facility, city, state, code, country = (
        _string(one.get(name)) for name in ("facility", "city", "state", "zip", "country")
    )
    verbatim = ", ".join(part for part in (facility, city, state, code, country) if part)
    return Site(facility, city, state, code, country, verbatim)


def _string(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _unescaped(value: Any) -> str | None:
    text = _string(value)
    return unescaped(text) if text else None


def _strings(value: Any) -> list[str]:
    return [text for one in value if (text := _string(one))] if isinstance(value, list) else []


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}
