"""Recordings of texts, and replays of any stopper on a recording."""
