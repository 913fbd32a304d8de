"""Methods that classify by the nearest of stored points."""
