"""The bounds that every method is compared with."""
