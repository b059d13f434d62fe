"""Speculative decoding with any stopper, exact under both verification rules."""

from adaedl.decoding.context import Context, read_prompt
from adaedl.decoding.loop import decode

__all__ = ["Context", "decode", "read_prompt"]
