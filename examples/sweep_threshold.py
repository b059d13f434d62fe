"""Record a text once, replay AdaEDL at twenty thresholds λ and three cost ratios, and draw the curves.

    python examples/sweep_threshold.py

Replays take milliseconds and need no model. Drawing needs plotly, which `pip install "adaedl[page]"`
installs.
"""

import pandas as pd
import plotly.express as px

import adaedl

CHART = "sweep_threshold.html"

recording = adaedl.record(
    adaedl.load_pair(), "Explain how the water cycle works, step by step.", temperature=0.7, max_new_tokens=48
)
rows = [
    {
        "threshold": threshold,
        "cost ratio": cost,
        "speedup": lane.metrics.speedup,
        "drafted per round": lane.metrics.draft_length,
        "accepted": lane.metrics.acceptance_rate,
    }
    for cost in (0.01, 0.1, 0.3)  # duration of a draft step in target steps
    for threshold in (step / 20 for step in range(20))
    for lane in [adaedl.replay(recording, f"adaedl:threshold={threshold}", cost_ratio=cost)]
]
sweep = pd.DataFrame(rows)

best = sweep.loc[sweep.groupby("cost ratio")["speedup"].idxmax()]
print("The best λ for each cost ratio:\n", best.round(2).to_string(index=False), sep="\n")

chart = px.line(
    sweep,
    x="threshold",
    y="speedup",
    color="cost ratio",
    markers=True,
    labels={"threshold": "threshold λ", "speedup": "modelled speedup over the target alone"},
)
chart.write_html(CHART)
print(f"\nThe curves are in {CHART}.")
