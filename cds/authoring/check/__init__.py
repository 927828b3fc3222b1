"""What can be known of authored content before a patient is seen: findings, each with its place and its mend."""
