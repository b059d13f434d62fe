#!/usr/bin/env bash
# Runs every test from a bare checkout: installs the Python packages (into .venv, unless a virtual environment
# is active), the packages of Node.js and a Chromium, or says what is missing. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
if [ -z "${VIRTUAL_ENV:-}" ]; then
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  . .venv/bin/activate
fi
python -m pip install --quiet --no-compile --disable-pip-version-check -r requirements-dev.txt

ruff check .
ruff format --check --quiet .
node --eval 'process.exit(parseInt(process.versions.node) < 22 ? 1 : 0)' 2>/dev/null || {
  echo "The page's JavaScript is checked with Node.js 22 or later: install it with npm, and run this again." >&2
  exit 1
}

# Work beside what follows: `beside NAME COMMAND…` begins it, `wait_for NAME WORDS` shows what it printed and ends with
# the words where it failed.
printed=$(mktemp -d)
declare -A begun
end_begun() {
  [ ${#begun[@]} = 0 ] || kill "${begun[@]}" 2>/dev/null || true
  rm -rf "$printed"
}
trap end_begun EXIT
beside() {
  local name=$1
  shift
  "$@" >"$printed/$name" 2>&1 &
  begun[$name]=$!
}
wait_for() {
  local status=0
  wait "${begun[$1]}" || status=$?
  unset "begun[$1]"
  [ "$status" = 0 ] || {
    cat "$printed/$1" >&2
    echo "$2" >&2
  }
  return "$status"
}

# Compiling the CPU's kernels takes one core 45 s, and the modules that the tests import take some more. Do it once:
# otherwise each of the processes that share the tests compiles them.
compile() {
  python -c 'from adaedl.models.cpu.backends import kernels; kernels()
import components.pages.page, hypothesis, scipy.stats, transformers.generation.utils, transformers.models.llama.modeling_llama'
}

# The page's JavaScript: eslint, prettier, tsc and the tests of tests/js. Node.js is one of the Python packages.
check_page() {
  [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-audit --no-fund --loglevel=error || {
    echo "The tools that check the JavaScript could not be installed: see what npm says above, then run npm ci."
    return 1
  }
  npm run --silent check
}

beside kernels compile
beside page check_page

find_chromium() {
  command -v chromium || command -v chromium-browser || command -v google-chrome || python - <<'PY'
from pathlib import Path
from playwright.sync_api import sync_playwright
with sync_playwright() as p:
    path = p.chromium.executable_path
print(path) if Path(path).exists() else exit(1)
PY
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

if ! chromium=$(find_chromium); then
  timeout 300 python -m playwright install --with-deps chromium >/dev/null 2>&1 || true
  if ! chromium=$(find_chromium) && command -v apt-get >/dev/null; then
    { as_root apt-get update -qq && as_root apt-get install -y -qq chromium; } >/dev/null 2>&1 || true
  fi
  chromium=$(find_chromium) || {
    echo "The browser tests need Chromium: install your distribution's chromium package and run this again." >&2
    exit 1
  }
fi
export CHROMIUM="$chromium"

wait_for kernels "Compiling the CPU's kernels failed: see above."
beside types mypy

# Three processes share the tests, by file or class, and the cores. Tests of the page spend much time waiting.
export OMP_NUM_THREADS=$(( $(getconf _NPROCESSORS_ONLN) > 5 ? $(getconf _NPROCESSORS_ONLN) / 3 : 1 ))
status=0
python -m pytest --numprocesses 3 --dist loadscope --no-loadscope-reorder "$@" || status=$?
wait_for types "mypy finds wrong types: see above." || status=1
wait_for page "The checks of the page's JavaScript fail: see above." || status=1
exit $status
