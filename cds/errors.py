"""Everything that can go wrong, in one tree; imports nothing of ours.

::

    CdsError                       what was wrong, where, what to do; knows its FHIR issue code
      RequestError                 the caller sent what we cannot accept            (invalid)
      DataUnavailableError         what the trials need cannot be had               (incomplete; HTTP 412)
      UntrustedCallError           a call that is not signed as it must be          (login; HTTP 401)
      TrustUnavailableError        whether a call may be trusted cannot be known    (transient; HTTP 503)
      StoreUnavailableError        what was sent cannot be stored now               (transient; HTTP 503)
      RecordError                  a bundle that is no single patient's record      (invalid)
      ContentError                 trial or service content that cannot be loaded   (exception; at start)
        TranslationError           CQL that does not translate                      (file:line:column)
        TerminologyError           a value set that is absent or not expanded
      ElmError                     the language
        UnsupportedNodeError       an ELM node that we do not know, at load, by name and locator
        EvaluationError            a definition that failed for one patient
          UnitError                units that cannot be compared, by name
"""

from __future__ import annotations


class CdsError(Exception):
    """The root: `issue` is the code of an OperationOutcome issue (http://hl7.org/fhir/issue-type).

    `where` names the place (a field for callers, ``file:line`` or a locator for authors), `remedy` says what
    to do. Neither ever holds patient data.
    """

    issue = "exception"

    def __init__(self, message: str, *, where: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        remedy = f" ({self.remedy})" if self.remedy else ""
        return f"{place}{self.message}{remedy}"


class RequestError(CdsError):
    """A caller's request that cannot be accepted; `where` is the field."""

    issue = "invalid"


class DataUnavailableError(CdsError):
    """Patient data that the trials need and that cannot be had (CDS Hooks: HTTP 412)."""

    issue = "incomplete"


class UntrustedCallError(CdsError):
    """A call that is not signed as it must be; `where` is the claim or header that is wrong, never its value."""

    issue = "login"


class TrustUnavailableError(CdsError):
    """Whether a call may be trusted cannot be known now: the caller's keys or the store of used tokens are away."""

    issue = "transient"


class StoreUnavailableError(CdsError):
    """The database cannot be reached or written now; what was sent is not stored, and may be sent again."""

    issue = "transient"


class RecordError(CdsError):
    """A bundle that is not the record of exactly one patient."""

    issue = "invalid"


class ContentError(CdsError):
    """Trial or service content that cannot be loaded; `where` is the file."""


class TranslationError(ContentError):
    """CQL that the official translator refuses; `where` is ``file:line:column``."""


class TerminologyError(ContentError):
    """A value set or code system that is absent, or has no expansion."""

    issue = "not-found"


class ElmError(CdsError):
    """Something wrong in, or while running, compiled CQL; `where` is ``library.definition @ locator``."""


class UnsupportedNodeError(ElmError):
    """An ELM node, or a field of one, that the engine does not implement: refused at load."""

    issue = "not-supported"


class EvaluationError(ElmError):
    """A definition that failed for one patient."""

    issue = "processing"


class UnitError(EvaluationError):
    """Units that are unknown, or cannot be converted into one another."""


def place_of(error: BaseException) -> str:
    """Where an exception was raised, as ``file:line``: unlike its message, that never holds patient data."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return f"{last.tb_frame.f_code.co_filename}:{last.tb_lineno}" if last else "?"
