"""Race two stopping rules and the target alone on one prompt, then print a table.

python examples/race_two_rules.py
"""

import adaedl

pair = adaedl.load_pair("smollm2-135m")
trace = adaedl.race(
    pair,
    "Write a recipe for pancakes.",
    lanes=["autoregressive", "fixed:k=4", "adaedl"],  # or any other stoppers in docs/stoppers.md
    temperature=0.7,
    max_new_tokens=48,
    seed=1,
)

print(trace.lanes[0].text, "\n")
table = adaedl.to_frame(trace).set_index("lane")
columns = {
    "speedup": "speedup ×",  # relative to the target alone
    "tokens_per_s": "tokens/s",
    "acceptance_rate": "accepted",  # share of the drafted tokens
    "draft_length": "drafted/round",
    "block_efficiency": "tokens/round",
}
print(table[list(columns)].rename(columns=columns).round(2))
print("\nall lanes wrote the same text:", bool(table["same_text"].iloc[1:].all()))
