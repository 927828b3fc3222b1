"""What clinicians did with the cards: the cards issued and the feedback on them, in SQL; no patient data."""

from cds.hooks.feedback.cards import IssuedCard, issued_cards
from cds.hooks.feedback.recorder import Recorder
from cds.hooks.feedback.reported import Feedback, parse
from cds.hooks.feedback.store import FeedbackStore

__all__ = ["Feedback", "FeedbackStore", "IssuedCard", "Recorder", "issued_cards", "parse"]
