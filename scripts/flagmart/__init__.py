"""flagmart: feature-flag events as tables an analyst trusts, delivered once and whole."""
