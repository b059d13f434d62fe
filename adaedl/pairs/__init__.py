"""Pairs of a target and a drafter: presets, weights, loading, tokenizers and chat templates."""
