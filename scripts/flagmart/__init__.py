"""flagmart: feature-flag events as tables an analyst trusts, delivered without losing or doubling a row."""
