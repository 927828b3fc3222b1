"""A catalog of many trials: those of a content folder, and copies of them, each of another disease.

A copy has names and codes of its own: its id, its library and the libraries that hold its disease, and the value sets
of the conditions that its disease criteria look for, every code of which gets the copy's number.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from cds.elm import retrievals
from cds.trials.catalog import Catalog, Trial, read_json
from cds.trials.compiled import elm_path, fingerprint, library_name, sources

Json = dict[str, Any]


def write_catalog(source: Path, target: Path, number: int) -> None:
    """Writes `number` trials to the new folder `target`: those of `source`, then copies of them in turn."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("cases"))
    catalog = Catalog.load(source)
    content = _Content(source)
    originals = [_Original(trial, content) for trial in catalog.active]
    for place in range(len(originals), number):
        originals[place % len(originals)].copy(target, place)


class _Content:
    """The texts of a content folder: CQL and ELM by the name of the library, value sets by their URL."""

    def __init__(self, folder: Path) -> None:
        files = sorted(folder.glob("*/*.cql"))
        self.folder = folder
        self.cql = sources(files)
        self.elm = {str(library_name(path.read_text("utf-8"))): elm_path(path).read_text("utf-8") for path in files}
        self.value_sets = {str(one["url"]): one for one in map(read_json, sorted(folder.glob("*/valuesets/*.json")))}


class _Original:
    """A trial that is copied, and what a copy of it changes."""

    def __init__(self, trial: Trial, content: _Content) -> None:
        self.trial = trial
        self.content = content
        answers = [trial.logic[criterion.id].answer for criterion in trial.disease_criteria]
        looked_for = {found.value_set_url for found in retrievals(answers) if found.type_name == "Condition"}
        self.value_sets = sorted(url for url in looked_for if url is not None)
        own = answers[0].library
        held = {reached.library.id for answer in answers for reached in answer.references}
        self.own = own.id
        #: The libraries that name one of these value sets themselves: the trial's own, and that of its disease.
        self.libraries = sorted(
            name for name in held | {own.id} if any(f"'{url}'" in content.cql[name] for url in self.value_sets)
        )
        if own.id not in self.libraries:
            self.libraries.append(own.id)

    def copy(self, target: Path, number: int) -> None:
        """Writes one copy: a folder with all that it does not share."""
        identifier = f"{self.trial.id}-{number}"
        folder = target / identifier
        (folder / "valuesets").mkdir(parents=True)
        changed = {f"{name}X{number}": self._renamed(self.content.cql[name], number, "'") for name in self.libraries}
        for name in self.libraries:
            text = changed[f"{name}X{number}"]
            path = folder / ("eligibility.cql" if name == self.own else f"{name}.cql")
            path.write_text(text, encoding="utf-8")
            elm = orjson.loads(self._renamed(self.content.elm[name], number, '"'))
            elm["translation"]["sha256"] = fingerprint(text, {**self.content.cql, **changed})
            elm_path(path).write_bytes(orjson.dumps(elm))
        for url in self.value_sets:
            copied = orjson.dumps(_of_another_disease(self.content.value_sets[url], number))
            (folder / "valuesets" / f"{url.rpartition('/')[2]}.json").write_bytes(copied)
        original = self.content.folder / self.trial.id
        plan = read_json(original / "plan-definition.json")
        copied = orjson.dumps(plan | {"id": identifier, "url": f"{self.trial.url}-{number}"})
        (folder / "plan-definition.json").write_bytes(copied)
        shutil.copy(original / "research-study.json", folder)

    def _renamed(self, text: str, number: int, quote: str) -> str:
        """CQL or ELM with the copy's names of libraries and value sets."""
        for name in self.libraries:
            text = text.replace(name, f"{name}X{number}")
        for url in self.value_sets:
            text = text.replace(f"{quote}{url}{quote}", f"{quote}{url}-{number}{quote}")
        return text


def _of_another_disease(value_set: Mapping[str, Any], number: int) -> Json:
    """The value set under the copy's name, with codes that are in no patient's chart."""
    contains = [{**item, "code": f"{item['code']}-{number}"} for item in value_set["expansion"]["contains"]]
    kept = {name: value_set[name] for name in ("resourceType", "status", "title", "version") if name in value_set}
    return {**kept, "url": f"{value_set['url']}-{number}", "expansion": {"contains": contains}}
