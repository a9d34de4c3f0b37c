"""How merge fields are called, however a file or a template spells them."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

__all__ = ["normalise_field"]

_SEPARATORS = re.compile(r"[\W_]+")


@lru_cache(maxsize=4096)
def normalise_field(name: str) -> str:
    """The one spelling under which a field is known: `First Name` and `FIRST-NAME` are `first_name`.

    Letters of any script stay; a leading digit gets `field_` before it, so that a template can name it.
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    text = _SEPARATORS.sub("_", text).strip("_")
    if text and not text.isidentifier():
        text = re.sub(r"[^\w]+", "_", "field_" + text)
        if not text.isidentifier():
            text = "".join(c for c in text if ("a" + c).isidentifier())
        text = re.sub("_+", "_", text).strip("_")
    return text
