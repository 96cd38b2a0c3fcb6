"""The CUDA kernels that the CuPy bodies launch: a family a file, compiled together."""

from pathlib import Path

__all__ = ["source"]


def source() -> str:
    """Return the source of every kernel as one text: the headers, then the families."""
    folder = Path(__file__).parent
    files = [*sorted(folder.glob("*.cuh")), *sorted(folder.glob("*.cu"))]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)
