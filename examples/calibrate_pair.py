"""Calibrate a pair: how well does AdaEDL's bound predict acceptance, and which λ suits the pair?

    python examples/calibrate_pair.py

The bound 1 − √(γ·H) should be at most β, the probability that the target accepts the token. If β is far above
the bound, the pair can draft more tokens than AdaEDL allows. If β is below it, the pair should stop earlier.
"""

import pandas as pd
from choose_settings import rule_of_thumb

import adaedl

PROMPTS = [
    "Why is the sky blue?",
    "Write a recipe for pancakes.",
    "Translate into French: Where is the station?",
]

pair = adaedl.load_pair()
races = [
    adaedl.race(pair, prompt, lanes="autoregressive,fixed:k=3", temperature=0.7, max_new_tokens=24)
    for prompt in PROMPTS
]
drafts = pd.DataFrame(
    {"entropy": token.entropy, "bound": token.bound, "β": token.beta}
    for trace in races
    for each in trace.lanes[1].rounds
    for token in each.drafted[: each.accepted + 1]  # up to the first rejected draft
)

groups = pd.qcut(drafts["entropy"], 4, labels=["lowest", "low", "high", "highest"])
by_entropy = drafts.groupby(groups, observed=True)
table = by_entropy.mean()
table["bound holds"] = by_entropy.apply(lambda group: (group["bound"] <= group["β"]).mean())
print(f"{len(drafts)} drafted tokens of {len(PROMPTS)} texts, by the entropy of the draft's distribution:\n")
print(table.round(2))

agreement = drafts["β"].mean()
cost = races[0].lanes[1].metrics.cost_ratio
print(f"\nagreement β = {agreement:.2f}, cost ratio c = {cost:.3f}")
print(f"rule of thumb of the study for this pair: adaedl:threshold={rule_of_thumb(cost, agreement):.2f}")
