"""One program a demonstration; `python -m scripts.gallery` lists them and runs them all."""
