"""Tables of mistakes: what a user may do wrong, and the sentence that tells the cure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import xpnet

PACKAGE = Path(xpnet.__file__).parent


def mistake(call: Callable[[], Any], error: type[Exception], match: str) -> None:
    """Make a mistake, and hold what comes: one sentence, and raised by xpnet itself."""
    with pytest.raises(error, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert PACKAGE in Path(caught.traceback[-1].path).parents
