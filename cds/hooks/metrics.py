"""What the service counts, for Prometheus. Labels are services, trials, criteria, codes; no patient."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from cds.hooks.cards import EXTENSION, about
from cds.hooks.feedback import Feedback

Json = dict[str, Any]

CONTENT_TYPE = CONTENT_TYPE_LATEST

#: Seconds. An EHR wants its answer in half a second; what reads from a FHIR server may take some.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


class Metrics:
    """The counters of one service. Those of several processes meet in a folder (PROMETHEUS_MULTIPROC_DIR)."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=self._registry)

        def histogram(name: str, text: str, *labels: str) -> Histogram:
            return Histogram(name, text, labels, buckets=_BUCKETS, registry=self._registry)

        self._requests = counter("cds_requests", "HTTP requests answered", "endpoint", "service", "status")
        self._seconds = histogram("cds_request_seconds", "Time to an answer", "endpoint", "service")
        self._cards = counter("cds_cards", "Cards issued", "trial", "status")
        self._unknown = counter("cds_criteria_unknown", "Criteria left open on cards", "trial", "criterion")
        self._reads = counter("cds_fhir_reads", "Queries to FHIR servers", "type", "outcome")
        self._read_seconds = histogram("cds_fhir_read_seconds", "Time of a query to a FHIR server", "type")
        self._feedback = counter("cds_feedback", "Reactions to cards stored", "service", "outcome")
        self._recorded = counter("cds_cards_recorded", "Cards issued and recorded in the database")
        self._lost = counter("cds_cards_lost", "Cards issued that could not be recorded")

    def answered(self, endpoint: str, service: str, status: int, seconds: float) -> None:
        """Counts one answer of a route (`endpoint`: call, feedback, discover, ...); `service` may be empty."""
        self._requests.labels(endpoint, service, str(status)).inc()
        if service:
            self._seconds.labels(endpoint, service).observe(seconds)

    def issued(self, cards: Iterable[Json]) -> None:
        """Counts cards, and what they leave open."""
        for card in cards:
            trial, status = about(card)
            self._cards.labels(trial, status).inc()
            for criterion in card["extension"][EXTENSION].get("criteria", ()):
                if criterion["outcome"] == "unknown":
                    self._unknown.labels(trial, criterion["id"]).inc()

    def read(self, resource_type: str, outcome: str, seconds: float) -> None:
        """Counts one query to a FHIR server. `outcome` is a word from a short list (ok, timeout, refused, ...)."""
        self._reads.labels(resource_type, outcome).inc()
        self._read_seconds.labels(resource_type).observe(seconds)

    def reported(self, service: str, feedback: Iterable[Feedback]) -> None:
        """Counts reactions to a service's cards."""
        for one in feedback:
            self._feedback.labels(service, one.outcome.value).inc()

    def recorded(self, recorded: int, lost: int) -> None:
        """Counts cards that were recorded in the database, and those that could not be."""
        self._recorded.inc(recorded)
        self._lost.inc(lost)

    def text(self) -> bytes:
        """All counts in the text format of Prometheus, those of the other processes included."""
        if self._folder is None:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together, str(self._folder))  # type: ignore[no-untyped-call]
        return generate_latest(together)
