"""The version of the engine and the page."""

__version__ = "0.1.0"
