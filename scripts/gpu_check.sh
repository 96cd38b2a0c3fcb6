#!/usr/bin/env bash
# Everything that needs a GPU, what is worth most first, in nine minutes at most:
#
#   scripts/gpu_check.sh FOLDER [MINUTES]
#   scripts/gpu_check.sh --again FOLDER PART...
#
# --help says more.  PYTHON is the interpreter (python3), XPNET_DATA the folder of MNIST.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
exec "${PYTHON:-python3}" -m scripts.bench.gpu_check "$@"
