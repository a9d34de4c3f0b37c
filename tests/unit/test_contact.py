from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outreach_sdk.domain.contact import (
    clean_name,
    email_kind,
    normalise_email,
    normalise_linkedin,
    normalise_phone,
    plain_email,
    split_emails,
    split_full_name,
)
from outreach_sdk.errors import InvalidInput


@pytest.mark.rule(21)
@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("Ana.Silva+cv@Example.COM ", "ana.silva+cv@example.com"),
        ("mailto:ana@example.com?subject=Hi", "ana@example.com"),
        ("Ana Silva <ana@example.com>", "ana@example.com"),
        ('"Silva, Ana" <ana@example.com>', "ana@example.com"),
        ("ana@example.com (Ana)", "ana@example.com"),
        ("E-Mail: ana@example.com,", "ana@example.com"),
        ("\u200bana@example.com\u00a0", "ana@example.com"),
        ("'ana@example.com'", "ana@example.com"),
        ("ana [at] example [dot] com", "ana@example.com"),
        ("ana＠example.com", "ana@example.com"),
        ("ana@bücher.example", "ana@xn--bcher-kva.example"),
        ("ANA@XN--BCHER-KVA.example", "ana@xn--bcher-kva.example"),
        ("o'neil@example.ie", "o'neil@example.ie"),
    ],
)
def test_one_address_has_one_form(written: str, normal: str) -> None:
    assert normalise_email(written) == normal


@pytest.mark.rule(20)
@pytest.mark.parametrize(
    "written",
    [
        "", "ana", "ana@", "@example.com", "ana@example", "ana@example..com", "a..b@example.com",
        "ana silva@example.com", "ana,silva@example.com",
        "ana@example.com; bo@example.com", "ana@[10.0.0.1]", "x" * 65 + "@example.com",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_a_sentence(written: str) -> None:
    with pytest.raises(InvalidInput, match="e-mail: "):
        normalise_email(written)


@pytest.mark.rule(16)
@pytest.mark.parametrize(
    ("written", "stored"),
    [
        (" Ana@Example.COM", "ana@example.com"),
        ("ana@bücher.example", "ana@xn--bcher-kva.example"),
        ('"ana.silva"@example.com', "ana.silva@example.com"),
        ("ana@example.com.", "ana@example.com"),
        ('"Ana Silva"@example.com', '"ana silva"@example.com'),
        ("Ana@localhost", "ana@localhost"),
        ("", ""),
        ("@", "@"),
    ],
)
def test_an_address_in_a_message_is_compared_as_stored(written: str, stored: str) -> None:
    assert plain_email(written) == stored


def test_a_cell_may_hold_several_addresses() -> None:
    assert split_emails("ana@example.com; Ana <ANA@home.example>, nonsense@") == (
        "ana@example.com",
        "ana@home.example",
    )
    assert split_emails("ana@example.com; ana@home.example / ana@EXAMPLE.com") == (
        "ana@example.com",
        "ana@home.example",
    )


@pytest.mark.rule(22)
@pytest.mark.parametrize(
    ("address", "company", "kind"),
    [
        ("ana@gmail.com", None, "personal"),
        ("ana@yahoo.co.uk", "acme.example", "personal"),
        ("ana@web.de", None, "personal"),
        ("ana@acme.example", None, "work"),
        ("ana@mail.acme.example", "https://www.acme.example/team", "work"),
        ("ana@else.example", "acme.example", "other"),
        ("info@acme.example", "acme.example", "other"),
        ("ana@alumni.uni.example", None, "other"),
    ],
)
def test_kind_of_address(address: str, company: str | None, kind: str) -> None:
    assert email_kind(address, company) == kind


@pytest.mark.rule(21)
@pytest.mark.parametrize(
    ("written", "slug"),
    [
        ("https://www.linkedin.com/in/Ana-Silva/", "ana-silva"),
        ("linkedin.com/in/ana-silva", "ana-silva"),
        ("http://de.linkedin.com/in/ana-silva/de?trk=people", "ana-silva"),
        ("https://m.linkedin.com/in/ana-silva#about", "ana-silva"),
        ("https://www.linkedin.com/mwlite/in/ana-silva", "ana-silva"),
        ("https://www.linkedin.com/comm/in/ana-silva?x=1", "ana-silva"),
        ("https://www.linkedin.com/in/ana-silva/details/experience/", "ana-silva"),
        ("https://www.linkedin.com/in/j%C3%BCrgen-m", "jürgen-m"),
        ("https://www.linkedin.com/in/j%25C3%25BCrgen-m", "jürgen-m"),
        ("https://www.linkedin.com/in/JÜRGEN-M", "jürgen-m"),
        ("http://www.linkedin.com/pub/ana-silva/1a/2b3/c4", "ana-silva-0c42b31a"),
        ("https://www.linkedin.com/authwall?sessionRedirect=https%3A%2F%2Fpt.linkedin.com%2Fin%2Fana", "ana"),
        ("Profile: www.linkedin.com/in/ana-silva.", "ana-silva"),
        ("/in/ana-silva", "ana-silva"),
        ("https://www.linkedin.com/in/ACoAABcDeF", "ACoAABcDeF"),
    ],
)
def test_one_profile_has_one_form(written: str, slug: str) -> None:
    assert normalise_linkedin(written) == f"linkedin.com/in/{slug}"


@pytest.mark.parametrize(
    "written",
    [
        "", "ana-silva", "https://example.com/in/ana", "https://notlinkedin.com/in/ana",
        "https://linkedin.com.evil.example/in/ana", "https://www.linkedin.com/in/",
        "https://www.linkedin.com/company/acme", "https://www.linkedin.com/sales/lead/ACwAAB,NAME",
        "https://www.linkedin.com/talent/profile/AEMAA", "https://www.linkedin.com/profile/view?id=12",
        "https://www.linkedin.com/pub/dir/ana/silva", "https://lnkd.in/abc",
    ],
)  # fmt: skip
def test_links_without_a_public_profile_are_refused(written: str) -> None:
    with pytest.raises(InvalidInput, match="LinkedIn URL: "):
        normalise_linkedin(written)


@pytest.mark.parametrize(
    ("written", "region", "normal"),
    [
        ("+49 (0)30 1234567", None, "+49301234567"),
        ("0049 30 1234567", None, "+49301234567"),
        ("030/1234567", "de", "+49301234567"),
        ("tel:+1-202-555-0143;ext=3", None, "+12025550143"),
        ("'+33612345678", None, "+33612345678"),
        ("33612345678.0", "FR", "+33612345678"),
    ],
)
def test_phone_numbers(written: str, region: str | None, normal: str) -> None:
    assert normalise_phone(written, region) == normal


@pytest.mark.parametrize("written", ["", "abc", "030 1234567", "+1", "3.3612E+10", "+999999999999999999"])
def test_what_is_no_phone_number_is_refused(written: str) -> None:
    with pytest.raises(InvalidInput, match="phone: "):
        normalise_phone(written)


@pytest.mark.parametrize(
    ("whole", "parts"),
    [
        ("Ana Silva", ("Ana", "Silva")),
        ("Dr. Ana Silva, PhD", ("Ana", "Silva")),
        ("Prof. Dr.-Ing. Hans Müller-Lüdenscheidt", ("Hans", "Müller-Lüdenscheidt")),
        ("Silva, Ana", ("Ana", "Silva")),
        ("Beethoven, Ludwig van", ("Ludwig", "van Beethoven")),
        ("Ludwig van Beethoven", ("Ludwig", "van Beethoven")),
        ("John F. Kennedy Jr.", ("John", "Kennedy")),
        ("J. R. R. Tolkien", ("J. R. R.", "Tolkien")),
        ("Jane Doe (she/her)", ("Jane", "Doe")),
        ("🚀 Ana Silva | Hiring!", ("Ana", "Silva")),
        ("Juan García López", ("Juan", "García López")),
        ("山田 太郎", ("太郎", "山田")),
        ("Jack Ma", ("Jack", "Ma")),
        ("Ana", ("Ana", "")),
        ("  ", ("", "")),
    ],
)
def test_whole_names_split(whole: str, parts: tuple[str, str]) -> None:
    assert split_full_name(whole) == parts


def test_names_are_tidied_but_keep_their_case() -> None:
    assert clean_name(' "McDONALD\u00a0 \u200bana 🎉" ') == "McDONALD ana"


@pytest.mark.parametrize("normalise", [normalise_email, normalise_linkedin, normalise_phone])
@given(value=st.text(max_size=60) | st.from_regex(r"[^\s]{1,20}@[^\s]{1,20}\.[a-z]{2,4}", fullmatch=True))
def test_normalising_twice_changes_nothing(normalise: Callable[[str], str], value: str) -> None:
    try:
        once = normalise(value)
    except InvalidInput:
        return
    assert normalise(once) == once


@given(value=st.from_regex(r"linkedin\.com/(in|pub)/[^\s?#]{1,30}", fullmatch=True))
def test_profiles_normalise_once_and_for_all(value: str) -> None:
    try:
        once = normalise_linkedin(value)
    except InvalidInput:
        return
    assert normalise_linkedin(once) == once


@given(st.text(max_size=60))
def test_any_text_is_some_name(value: str) -> None:
    once = clean_name(value)
    assert clean_name(once) == once
    first, last = split_full_name(value)
    assert isinstance(first + last, str)
    assert isinstance(split_emails(value), tuple)
