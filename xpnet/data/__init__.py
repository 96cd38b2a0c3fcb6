"""Data sets: read, verified, split and brought to a device."""

from xpnet.data.catalog import DownloadError
from xpnet.data.datasets import NAMES, Dataset, load

__all__ = ["NAMES", "Dataset", "DownloadError", "load"]
