"""What breaks the parts of xpnet that each demonstration shows: tables by program."""

from __future__ import annotations

from tests.scripts.gallery.mutations import basics, by_hand, mnist, small
from tests.scripts.gallery.mutations.tools import Mutation

__all__ = ["MUTATIONS", "Mutation"]

MUTATIONS: dict[str, list[tuple[str, Mutation]]] = (
    by_hand.MUTATIONS | basics.MUTATIONS | mnist.MUTATIONS | small.MUTATIONS
)
