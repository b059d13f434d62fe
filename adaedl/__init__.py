"""The engine of AdaEDL live: adaptive speculative decoding, traced token by token."""

__version__ = "0.1.0"
