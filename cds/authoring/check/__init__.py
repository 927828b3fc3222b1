"""What can be known of authored content before a patient is seen: findings, each with its place and its mend."""

from cds.authoring.check.finding import Finding, Place, Rule, Severity
from cds.authoring.check.run import RULES, check

__all__ = ["RULES", "Finding", "Place", "Rule", "Severity", "check"]
