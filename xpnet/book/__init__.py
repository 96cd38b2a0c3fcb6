"""The vocabulary of K. Saito's 'Deep Learning from Scratch', over xpnet's parts.

A program of the book runs after its imports are renamed: ``common.layers`` becomes
``xpnet.book.layers``, ``dataset.mnist`` becomes ``xpnet.book.mnist``, and so on.  Its numbers are
the book's, its random draws come from NumPy's global generator in the book's order.
``xpnet.book.use("gpu")`` says where networks and data sets are put.
"""

from xpnet.book._globals import use

__all__ = ["use"]
