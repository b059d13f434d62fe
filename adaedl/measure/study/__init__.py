"""The study: the paper's claims over pairs, verification rules, temperatures and costs of a draft.

Each text is recorded once (`recordings`), every stopper is replayed on it at every cost (`replays`), and the
report is made of the table that results (`report`). The claims are AdaEDL's (arXiv 2410.18351).
"""
