"""Say how well a saved network does on a data set's test images."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import xpnet
from xpnet.data import NAMES as DATASETS


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    p = argparse.ArgumentParser(prog="evaluate.py", description=__doc__)
    p.add_argument("model", type=Path, help="a folder or model.safetensors that train.py wrote")
    p.add_argument("--dataset", choices=DATASETS, default="digits", help="(digits)")
    p.add_argument("--data-dir", metavar="DIR", help="where data sets lie, as for train.py")
    p.add_argument("--device", default="cpu", metavar="NAME", help="as for train.py (cpu)")
    p.add_argument("--train-part", action="store_true", help="evaluate the training images instead")
    return p


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    args = parser().parse_args(argv)
    try:
        device = xpnet.device(args.device)
        path = args.model / "model.safetensors" if args.model.is_dir() else args.model
        net = xpnet.load(path, device)
        train, test = xpnet.data.load(args.dataset, args.data_dir)
        data = train if args.train_part else test
        trainer = xpnet.Trainer(net, xpnet.SoftmaxCrossEntropy(), xpnet.SGD())
        result = trainer.evaluate(data)
    except (ValueError, OSError, xpnet.DeviceError) as error:
        print(f"evaluate.py: error: {error}", file=sys.stderr)
        return 2
    print(f"accuracy {result.accuracy:.4f}, loss {result.loss:.4f}, {result.samples:,} images")
    return 0


if __name__ == "__main__":
    sys.exit(main())
