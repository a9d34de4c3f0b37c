"""A small Flask service that tells the outside whether this installation lives."""
