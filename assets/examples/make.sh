#!/usr/bin/env bash
# Records the page's races, recordings and sweep again, with the pairs that this machine can run.
# Run it on a quiet machine: the page replays the times in these files.
set -euo pipefail
cd "$(dirname "$0")/../.."
status=0
python -m components.races || status=$?
python -m components.recordings >&2 || status=$?

# The sweep that the Sweep page shows first, with when and where it was measured.
rm -f assets/examples/sweep/sweep.csv
python -m adaedl sweep --count 1 --temperatures 0,0.7,1.0,1.3,1.7 --max-new-tokens 48 \
  --lanes autoregressive,fixed:k=2,fixed:k=4,adaedl,adaedl:threshold=0.2,score_temperature=1.0,max_confidence,svip,margin,heuristic,confidence,bandit,throughput \
  --csv assets/examples/sweep/sweep.csv
python -m components.parts.sweep_results
exit $status
