#!/usr/bin/env bash
# Trains a drafter from scratch on the shipped teacher text, and measures it: bash assets/drafter.sh FOLDER [MINUTES]
# You can stop it at any time; started again, it continues. The text's features take 17 GB in the folder.
set -euo pipefail
work=${1:?"Name a folder: bash assets/drafter.sh FOLDER [MINUTES]"}
minutes=${2:-240}
mkdir -p "$work"
work=$(realpath "$work")
cd "$(dirname "$0")/.."
for text in teacher teacher-2; do
  python -m adaedl distill generate --corpus "$work/$text" --import "adaedl/distill/$text.safetensors"
done
python -m adaedl distill train --corpus "$work/teacher" --corpus "$work/teacher-2" --prompts-from 24 --dropout 0.05 \
  --checkpoint "$work/checkpoint.safetensors" --minutes "$minutes" --output "$work/drafter.safetensors"
python -m adaedl distill evaluate --drafter "$work/drafter.safetensors" --corpus "$work/held_out"
