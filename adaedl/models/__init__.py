"""Pairs: presets, loading, the runners of a target and the two kinds of drafter."""
