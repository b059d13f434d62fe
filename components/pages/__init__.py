"""The page: a file for each tab, and `page`, which combines them."""
