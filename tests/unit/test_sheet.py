from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outreach_sdk.domain.sheet import SheetFormat, decode_table, sniff
from outreach_sdk.errors import ImportRefused


@pytest.mark.rule(20)
@pytest.mark.parametrize(
    ("encoding", "delimiter", "lines"),
    [
        ("utf-8", ",", ["First Name,Last Name,Email", "Zoë,Ångström,z@example.com"]),
        ("utf-8-sig", ";", ["Vorname;Nachname;E-Mail", "Jörg;Groß;j@example.com"]),
        ("cp1252", ";", ["Prénom;Nom;Courriel", "Zoé;Lefèvre;z@example.com"]),
        ("cp1252", ",", ["First Name,Last Name,Email", "Françoise,D’Alès,f@example.com"]),
        ("cp1250", ";", ["Imię;Nazwisko;Adres e-mail", "Łucja;Wójcik;l@example.com"]),
        ("cp1251", ";", ["Имя;Фамилия;Почта", "Ольга;Кузнецова;o@example.com"]),
        ("koi8-r", ",", ["Имя,Фамилия,Почта", "Ольга,Кузнецова,o@example.com"]),
        ("cp1254", ";", ["Ad;Soyadı;E-posta", "Ayşe;Yılmaz;a@example.com"]),
        ("cp932", ",", ["姓,名,メールアドレス,会社名", "佐藤,花子,h@example.com,株式会社例"]),
        ("euc_jp", "\t", ["姓\t名\tメールアドレス\t会社名", "佐藤\t花子\th@example.com\t株式会社例"]),
        ("gb18030", ",", ["姓名,邮箱,公司,职位", "王芳,w@example.com,上海贸易公司,经理"]),
        ("cp949", ",", ["이름,이메일,회사,직책", "이영희,l@example.com,예시,부장"]),
        ("utf-16-le", "\t", ["First Name\tLast Name\tEmail", "Zoë\tÅngström\tz@example.com"]),
        ("utf-16-be", ",", ["姓,名,メール", "佐藤,花子,h@example.com"]),
    ],
)
def test_files_as_people_really_have_them(encoding: str, delimiter: str, lines: list[str]) -> None:
    data = "\r\n".join([*lines, ""]).encode(encoding)
    fmt = sniff(data, total=len(data))
    assert (fmt.delimiter, fmt.skipped_lines) == (delimiter, 0)
    assert list(decode_table(data, fmt)) == [line.split(delimiter) for line in lines]


def test_a_byte_order_mark_decides() -> None:
    data = "Name,Email\n山田,y@example.com\n".encode("utf-16")
    fmt = sniff(data)
    assert fmt.encoding == "utf-16-le"
    assert next(decode_table(data, fmt)) == ["Name", "Email"]


@pytest.mark.rule(20)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('Notes:\n"Some, addresses\nare missing"\n\nFirst Name,Last Name,Email\nA,B,a@b.example\n', (",", 4)),
        ("Shortlist, exported today\nName|Email\nAna B|a@b.example\nBo C|b@b.example\n", ("|", 1)),
        ("sep=;\r\nName;Email\r\nAna;a@b.example\r\n", (";", 1)),
        ("email\na@b.example\nb@b.example\n", (",", 0)),
        ('Name\tEmail\n"Silva, Ana"\ta@b.example\n', ("\t", 0)),
    ],
)
def test_what_stands_before_the_header_is_skipped(text: str, expected: tuple[str, int]) -> None:
    data = text.encode()
    fmt = sniff(data, total=len(data))
    assert (fmt.delimiter, fmt.skipped_lines) == expected
    assert next(decode_table(data, fmt))[0].strip().lower() in ("first name", "name", "email")


def test_a_character_cut_in_two_is_no_other_encoding() -> None:
    data = ("Name,Email\n" + "é" * 500).encode()
    assert sniff(data[:-1], total=len(data) + 7).encoding == "utf-8"


def test_quoted_line_breaks_and_ragged_rows_pass() -> None:
    data = b'Name,Email,Note\r\n"Ana\nSilva",a@b.example\r\n\r\n,,\r\nBo,b@b.example,"x ""y""",extra\r\n'
    rows = list(decode_table([data[:9], data[9:20], data[20:]], SheetFormat("utf-8", ",", 0)))
    assert rows == [
        ["Name", "Email", "Note"],
        ["Ana\nSilva", "a@b.example"],
        ["Bo", "b@b.example", 'x "y"', "extra"],
    ]


@pytest.mark.parametrize("head", [b"", b"  \n", b"PK\x03\x04rest", b"\xd0\xcf\x11\xe0", b"%PDF-1.7"])
def test_what_is_no_table_is_refused(head: bytes) -> None:
    with pytest.raises(ImportRefused):
        sniff(head)


def test_a_quote_left_open_is_named() -> None:
    data = b'Name,Email\n"Ana,' + b"x" * 200_000
    with pytest.raises(ImportRefused, match="quotation mark"):
        list(decode_table(data, SheetFormat("utf-8", ",", 0)))


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        rows = list(decode_table(data, sniff(data, total=len(data))))
    except ImportRefused:
        return
    assert all(isinstance(cell, str) for row in rows for cell in row)
