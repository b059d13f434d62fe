"""The page: one file a tab, and `page`, which puts them together."""
