"""Ingest, build and export, round after round; and the same by FeatBit.DataExport's options."""
