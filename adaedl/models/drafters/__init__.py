"""The two kinds of drafter: the feature drafter and an independent draft model."""
