"""Values in, pictures out; never a query."""
