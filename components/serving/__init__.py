"""Serving: launch, limits, jobs, the loaded pair, health, ZeroGPU."""
