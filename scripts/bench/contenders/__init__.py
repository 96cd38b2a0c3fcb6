"""The libraries that the side-by-side benchmark times, each at the same networks and weights.

A contender takes xpnet's network as the definition and makes its own of it, layer by layer, as a
user of that library would write it.  One process holds one contender.
"""

from scripts.bench.contenders.base import Contender
from scripts.bench.contenders.gemm import Gemm
from scripts.bench.contenders.own import Xpnet, XpnetEager, XpnetPlain
from scripts.bench.contenders.pytorch import Torch, TorchChannelsLast, TorchCompile, TorchFused
from scripts.bench.contenders.scikit import Sklearn
from scripts.bench.contenders.xla import Jax

__all__ = ["CONTENDERS", "Contender"]

CONTENDERS: dict[str, type[Contender]] = {
    "xpnet": Xpnet,
    "xpnet-eager": XpnetEager,
    "xpnet-plain": XpnetPlain,
    "torch": Torch,
    "torch-cl": TorchChannelsLast,
    "torch-fused": TorchFused,
    "torch-compile": TorchCompile,
    "jax": Jax,
    "sklearn": Sklearn,
    "gemm": Gemm,
}
