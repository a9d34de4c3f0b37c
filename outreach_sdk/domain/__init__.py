"""Pure rules: no I/O, no clock (`now` is an argument), no randomness (a seed or id is an argument)."""
