"""Compiled bodies for NumPy arrays, where the ``fast`` extra is installed.

Everything here is float32 or float64 arithmetic in compiled loops that let go of the interpreter
lock; batches are cut into shares for the threads that :mod:`xpnet.threadpool` allows.
"""
