"""The parts of the pages, and the page's settings, words and colours."""
