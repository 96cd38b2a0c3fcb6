"""Data sets: read or mapped, verified, split and brought to a device in batches."""

from typing import TYPE_CHECKING

from xpnet.checks import names_in
from xpnet.data import augment
from xpnet.data.batches import Batches
from xpnet.data.blocks import Blocks
from xpnet.data.catalog import DownloadError
from xpnet.data.csvfiles import from_csv
from xpnet.data.datasets import NAMES, Dataset, load
from xpnet.data.folders import from_folder
from xpnet.data.frames import from_arrays, from_frame
from xpnet.data.mapped import open_files as open
from xpnet.data.moons import two_moons
from xpnet.data.spreadsheet import load_spreadsheet, save_spreadsheet
from xpnet.data.stored import Rows, StoredArray

__all__ = [
    "NAMES",
    "Batches",
    "Blocks",
    "Dataset",
    "DownloadError",
    "Rows",
    "StoredArray",
    "augment",
    "from_arrays",
    "from_csv",
    "from_folder",
    "from_frame",
    "load",
    "load_spreadsheet",
    "open",
    "save_spreadsheet",
    "two_moons",
]

if not TYPE_CHECKING:  # which knows the names, and would know all with this
    __getattr__ = names_in(
        __name__,
        __all__,
        DataLoader="write Batches(data, batch_size)",
        load_mnist="write load('mnist')",
        **{name: f"write xpnet.data.augment.{name}" for name in augment.__all__},
    )
