"""The study: test the claims of the AdaEDL paper (arXiv 2410.18351) over pairs, verification rules,
temperatures and cost ratios.

Each text is recorded once (`recordings`). Every stopper is replayed on it at every cost ratio (`replays`).
The report is written from the resulting tables (`report`).
"""
