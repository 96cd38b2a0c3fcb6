"""The tests.

Every process that runs them computes with one thread, set before NumPy is imported: several run
side by side, and what one computes does not depend on how many there are.
"""

import os

for _pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_pool, "1")
