"""Delivery: what is new goes out, and is recorded once it has arrived."""
