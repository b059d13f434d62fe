"""Recordings, and the replay of any stopper on one."""
