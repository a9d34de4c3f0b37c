"""The time zone somebody lives in, from what is known of them."""

from __future__ import annotations

import functools
import importlib.resources
import re
import unicodedata

import phonenumbers
import phonenumbers.timezone

__all__ = ["zone_of_phone", "zone_of_place"]

_COUNTRY_WORDS = {
    "usa": "us", "united states of america": "us", "america": "us", "uk": "gb", "united kingdom": "gb",
    "great britain": "gb", "england": "gb", "scotland": "gb", "wales": "gb", "deutschland": "de", "espana": "es",
    "italia": "it", "nederland": "nl", "holland": "nl", "the netherlands": "nl", "schweiz": "ch", "suisse": "ch",
    "svizzera": "ch", "osterreich": "at", "belgique": "be", "belgie": "be", "polska": "pl", "sverige": "se",
    "norge": "no", "danmark": "dk", "suomi": "fi", "turkiye": "tr", "turkey": "tr", "czechia": "cz",
    "czech republic": "cz", "south korea": "kr", "korea": "kr", "uae": "ae", "vietnam": "vn", "ireland": "ie",
}  # fmt: skip
# Cities that name no zone and in which many work.
_CITIES = {
    "munich": "Europe/Berlin", "munchen": "Europe/Berlin", "hamburg": "Europe/Berlin", "frankfurt": "Europe/Berlin",
    "cologne": "Europe/Berlin", "barcelona": "Europe/Madrid", "valencia": "Europe/Madrid", "milan": "Europe/Rome",
    "milano": "Europe/Rome", "roma": "Europe/Rome", "lyon": "Europe/Paris", "geneva": "Europe/Zurich",
    "manchester": "Europe/London", "edinburgh": "Europe/London", "porto": "Europe/Lisbon", "lisboa": "Europe/Lisbon",
    "krakow": "Europe/Warsaw", "gothenburg": "Europe/Stockholm", "bangalore": "Asia/Kolkata",
    "bengaluru": "Asia/Kolkata", "mumbai": "Asia/Kolkata", "delhi": "Asia/Kolkata", "hyderabad": "Asia/Kolkata",
    "beijing": "Asia/Shanghai", "shenzhen": "Asia/Shanghai", "osaka": "Asia/Tokyo", "tel aviv": "Asia/Jerusalem",
    "san francisco": "America/Los_Angeles", "seattle": "America/Los_Angeles", "san diego": "America/Los_Angeles",
    "portland": "America/Los_Angeles", "california": "America/Los_Angeles", "austin": "America/Chicago",
    "dallas": "America/Chicago", "houston": "America/Chicago", "texas": "America/Chicago", "boston": "America/New_York",
    "washington": "America/New_York", "washington dc": "America/New_York", "atlanta": "America/New_York",
    "miami": "America/New_York", "philadelphia": "America/New_York", "montreal": "America/Toronto",
    "rio de janeiro": "America/Sao_Paulo", "cape town": "Africa/Johannesburg",
}  # fmt: skip


def _plain(text: str) -> str:
    bare = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return " ".join(re.sub(r"[^\w\s]", " ", bare).replace("_", " ").split())


@functools.lru_cache(maxsize=1)
def _tables() -> tuple[dict[str, str], dict[str, str]]:
    """(city -> zone, country -> its only zone), from the tz database's own tables."""
    root = importlib.resources.files("tzdata").joinpath("zoneinfo")
    rows = [
        line.split("\t")
        for line in root.joinpath("zone.tab").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    cities = {_plain(zone.rpartition("/")[2]): zone for _, _, zone, *_ in rows if "/" in zone}
    of_country: dict[str, set[str]] = {}
    for country, _, zone, *_ in rows:
        of_country.setdefault(country.lower(), set()).add(zone)
    # One zone each, or one where nearly everybody lives.
    single = {c: next(iter(zones)) for c, zones in of_country.items() if len(zones) == 1}
    single |= {"de": "Europe/Berlin", "es": "Europe/Madrid", "pt": "Europe/Lisbon", "nz": "Pacific/Auckland"}
    names: dict[str, str] = {}
    for line in root.joinpath("iso3166.tab").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            code, _, name = line.partition("\t")
            if code.lower() in single:
                names[_plain(name)] = single[code.lower()]  # not by its code: Bloomington, IN isn't in India
    names |= {word: single[code] for word, code in _COUNTRY_WORDS.items() if code in single}
    return {**cities, **_CITIES}, names


def zone_of_place(text: str) -> str | None:
    """The zone of a place as people write it ("Berlin, Germany", "Greater Boston Area"), or None where it names
    none, a country of several, or two that differ ("Paris, Texas"). Offline, from the tz database."""
    cities, countries = _tables()
    parts = [p for p in (_plain(part) for part in re.split(r"[,;/|(]", text[:200])) if p]
    parts = [
        re.sub(r"^(?:greater|metropolitan) | (?:bay |metropolitan )?(?:area|region)$", "", p) for p in parts
    ]
    found = {zone for part in parts if (zone := cities.get(part) or countries.get(part)) is not None}
    return found.pop() if len(found) == 1 else None


def zone_of_phone(number: str) -> str | None:
    """The zone of an E.164 number, or None where its country or area has several."""
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return None
    zones = [z for z in phonenumbers.timezone.time_zones_for_number(parsed) if z != "Etc/Unknown"]
    return zones[0] if len(zones) == 1 else None
