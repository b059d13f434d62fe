"""The page: one file per tab, and `page`, which combines them."""
