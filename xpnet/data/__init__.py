"""Data sets: read, verified, split and brought to a device in batches."""

from xpnet.data.batches import Batches
from xpnet.data.catalog import DownloadError
from xpnet.data.datasets import NAMES, Dataset, load
from xpnet.data.moons import two_moons
from xpnet.data.spreadsheet import load_spreadsheet, save_spreadsheet

__all__ = [
    "NAMES",
    "Batches",
    "Dataset",
    "DownloadError",
    "load",
    "load_spreadsheet",
    "save_spreadsheet",
    "two_moons",
]
