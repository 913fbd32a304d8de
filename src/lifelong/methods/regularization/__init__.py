"""Methods that hold parameters near values that mattered."""
