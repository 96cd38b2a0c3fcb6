"""CuPy bodies: few launches, each doing all there is to do to a number while it is at hand."""
