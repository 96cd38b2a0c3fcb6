"""The libraries that the GPU benchmark times, each at the same networks and weights.

A contender takes xpnet's network as the definition and makes its own of it.  One process holds
one contender, and its library is imported there alone.
"""

from scripts.bench.gpu_contenders.base import Contender, Figures
from scripts.bench.gpu_contenders.bound import Products
from scripts.bench.gpu_contenders.own import Xpnet, XpnetEager
from scripts.bench.gpu_contenders.pytorch import (
    Torch,
    TorchChannelsLast,
    TorchCompile,
    TorchFused,
    TorchGraph,
)
from scripts.bench.gpu_contenders.xla import Jax

__all__ = ["BOUND", "CONTENDERS", "DEFAULT", "Contender", "Figures"]

CONTENDERS: dict[str, type[Contender]] = {
    "xpnet": Xpnet,
    "xpnet-eager": XpnetEager,
    "torch": Torch,
    "torch-graph": TorchGraph,
    "jax": Jax,
    "torch-cl": TorchChannelsLast,
    "torch-fused": TorchFused,
    "torch-compile": TorchCompile,
    "gemm": Products,
}

BOUND = "gemm"
"""The contender whose figures stand beside those of the others, not among them."""

DEFAULT = ("xpnet", "torch", "torch-graph", "xpnet-eager", BOUND, "jax")
