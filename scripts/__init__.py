"""Programs over xpnet: they parse and call; logic lives in xpnet."""
