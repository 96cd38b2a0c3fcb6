#!/usr/bin/env bash
# What a change must pass, the fast parts first: style, types, then the tests.
#
#   scripts/check.sh [--fast]
#
# --fast leaves the tests out: seconds instead of minutes.  It ends at the first part that fails, and
# says how to run that part alone.  The tools come with pip install -e ".[dev]"; PYTHON is the
# interpreter (python3), XPNET_DATA the folder of MNIST, whose tests are skipped without it.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2

fast=
case ${1-} in
    '') ;;
    --fast) fast=1 ;;
    -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit ;;
    *) echo "usage: scripts/check.sh [--fast]" >&2; exit 2 ;;
esac
python=${PYTHON:-python3}

part() { # what it is, module, arguments ...
    printf '\n== %s (%ss)\n' "$1" "$SECONDS"
    shift
    "$python" -m "$@" || { printf '\nfailed: %s -m %s\n' "$python" "$*" >&2; exit 1; }
}

part "style" ruff check .
part "format: ruff format . does it" ruff format --check .
part "types" mypy
if [ -z "$fast" ]; then
    part "tests" pytest -q
    part "the demonstrations" pytest -q -m "gallery and not slow"
    if command -v g++ > /dev/null; then
        part "the GPU's tests, on an emulated one" pytest -q --emulated-gpu -m "gpu and not slow"
    else
        printf '\nleft out: the emulated GPU compiles CUDA kernels with g++, which is not installed\n'
    fi
fi
printf '\nall passed (%ss)\n' "$SECONDS"
