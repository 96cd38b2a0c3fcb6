"""How time and memory grow: with images, batches, widths, depths and ranks."""
