"""The charts page: a static site of what the marts hold, which opens from disk."""
