"""All that needs a GPU, in one command of nine minutes at most: what is worth most comes first."""
