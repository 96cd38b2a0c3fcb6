"""NumPy bodies: the same results as the generic ones, with fewer passes over memory."""
