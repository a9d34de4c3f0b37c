"""Help by a language model; each adapter stands behind `port.py`."""
