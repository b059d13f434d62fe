"""Parts that the pages are made of, the page's settings, words and colours."""
