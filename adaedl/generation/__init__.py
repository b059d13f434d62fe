"""AdaEDL inside transformers: `generate` with any stopper, as a custom generation method of a model.

`custom_generate/generate.py` at the top of the project holds the same code in one file, for the Hub;
docs/transformers.md describes both.
"""

from adaedl.generation.entry import generate

__all__ = ["generate"]
