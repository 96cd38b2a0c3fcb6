"""Data sets: read, verified, split and brought to a device in batches."""

from xpnet.data.batches import Batches
from xpnet.data.catalog import DownloadError
from xpnet.data.datasets import NAMES, Dataset, load

__all__ = ["NAMES", "Batches", "Dataset", "DownloadError", "load"]
