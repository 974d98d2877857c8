"""Engines behind one small protocol: what is said to an engine is said here and nowhere else."""
