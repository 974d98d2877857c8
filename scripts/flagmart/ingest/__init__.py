"""Events into the landing: one module a source, and what the sources share."""
