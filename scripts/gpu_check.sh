#!/usr/bin/env bash
# Everything that needs a GPU, in one command of eight minutes at most: the GPU's tests, its results
# beside the processor's, the gallery and the benchmark, each in a short form.
#
#   scripts/gpu_check.sh [FOLDER]
#
# Logs, JSON files and pictures go to FOLDER, by default a temporary one; the end of each log is
# printed.  A part that fails does not keep the next one from running.  The exit status is 0 if all
# passed, 1 if one failed, 2 if no GPU can be used.  PYTHON is the interpreter (python3), XPNET_DATA
# the folder of MNIST.
set -uo pipefail

if [ $# -gt 1 ] || [[ ${1:-} == -* ]]; then
    echo "usage: scripts/gpu_check.sh [FOLDER]" >&2
    exit 2
fi
out=${1:-}
if [ -n "$out" ] && [[ $out != /* ]]; then out=$PWD/$out; fi
cd "$(dirname "$0")/.." || exit 2
python=${PYTHON:-python3}

if ! "$python" - << 'PY'
import sys

import xpnet

try:
    place = xpnet.device("gpu")
except xpnet.DeviceError as error:
    sys.exit(f"gpu_check.sh: error: {error}")
print(", ".join(f"{key} {value}" for key, value in place.describe().items()))
PY
then
    exit 2
fi
if [ -z "$out" ]; then
    out=$(mktemp -d "${TMPDIR:-/tmp}/xpnet-gpu-check.XXXXXX") || exit 2
fi
mkdir -p -- "$out" || exit 2
echo "logs and figures in $out"

failed=0
running=
summary=()
# a part runs in the background so that Ctrl-C is heard at once; timeout passes the end on
trap 'kill "$running" 2> /dev/null; exit 130' INT TERM

part() { # name, seconds at most, command ...
    local name=$1 limit=$2 began=$SECONDS status verdict
    shift 2
    printf '\n== %s, at most %d s: %s\n' "$name" "$limit" "$*"
    timeout --kill-after=5 "$limit" "$@" > "$out/$name.log" 2>&1 < /dev/null &
    running=$!
    wait "$running"
    status=$?
    case $status in
        0) verdict=pass ;;
        124 | 137) verdict="FAIL (stopped after $limit s)" ;;
        *) verdict="FAIL (exit status $status)" ;;
    esac
    if [ "$status" -ne 0 ]; then failed=1; fi
    tail -n 30 -- "$out/$name.log"
    summary+=("$(printf '%-8s %4d s  %s' "$name" $((SECONDS - began)) "$verdict")")
}

# the limits add up to less than eight minutes
part tests 170 "$python" -m pytest -m "gpu and not slow" -q -p no:cacheprovider
part parity 90 "$python" -m scripts.bench.parity --device gpu --json "$out/parity.json"
part gallery 100 "$python" -m scripts.gallery --all --quick --device gpu --out "$out/gallery"
part bench 95 "$python" -m scripts.bench.gpu --quick --json "$out/bench.json"

printf '\n== summary (%s)\n' "$out"
printf '%s\n' "${summary[@]}" | tee "$out/summary.txt"
exit "$failed"
