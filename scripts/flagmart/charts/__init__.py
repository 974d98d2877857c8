"""Charts asked for now: their points from the engine, and how they are printed."""
