from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outreach_sdk.domain.sheet import SheetFormat, check_quotes, decode_table, sniff
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


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        rows = list(decode_table(data, sniff(data, total=len(data))))
    except ImportRefused:
        return
    assert all(isinstance(cell, str) for row in rows for cell in row)


HEADER = "First Name,Last Name,Email,Note"


def table_of(text: str) -> list[list[str]]:
    data = text.encode()
    check_quotes(lambda: [data[:700], data[700:]], fmt := sniff(data, total=len(data)))
    return list(decode_table(data, fmt))


def people_with(notes: dict[int, str], count: int = 40) -> str:
    rows = [f"P{n},L{n},p{n}@c.example,{notes.get(n, 'x')}" for n in range(count)]
    return "\n".join([HEADER, *rows, ""])


@pytest.mark.rule(20)
@pytest.mark.parametrize(
    ("text", "line"),
    [
        (people_with({10: '"6 ft tall'}), 12),
        (people_with({10: '"6 ft tall'}).replace("\n", "\r\n"), 12),
        (people_with({10: '"6 ft tall'}).replace("\n", "\r"), 12),
        (people_with({39: '"6 ft tall'}), 41),
        (people_with({39: '"6 ft tall'}).rstrip("\n"), 41),
        (people_with({3: '"two\nlines"', 10: '"6 ft tall'}), 13),
        (people_with({10: '"6 ft tall', 14: '"5 ft"'}), 12),
        (people_with({10: '"6 ft tall', 12: '"Likes, tea"'}), 12),
        (people_with({10: '"6 ft tall'}).replace("P20", '"P20"'), 12),
        ("Export\n" + people_with({5: '"two\nlines",y', 10: '"6 ft tall'}), 14),
        ("\n".join('"' + row.replace(",", '","') + '"' for row in people_with({}).split("\n")[:9]).replace(
            'p4@c.example","x"', 'p4@c.example","x'), 6),
    ],
)  # fmt: skip
def test_a_stray_quotation_mark_swallows_nobody_in_silence(text: str, line: int) -> None:
    with pytest.raises(ImportRefused, match=rf"line {line}\b.*quotation mark") as caught:
        table_of(text)
    assert "write it twice" in str(caught.value), "no remedy"


@pytest.mark.rule(20)
@pytest.mark.parametrize(
    "note",
    [
        '"12 High Street\nLeeds, LS1 4AP\nUnited Kingdom"',
        '"Calle Mayor, 5, 2º, B\n28013 Madrid, Madrid, Comunidad, España\n\nTel., fax, móvil, casa"',
        '"Called on Monday:\n- likes Go, Rust, C, C++\n- ask a@b.example\n- no ""hard"" deadline\n\n"',
        '"From: ana@b.example\nTo: bo@b.example\nCc: cy@b.example\n\nHi, all"',
        '"Ana, Silva, ana@b.example, sent her\nthanks"',
        '6" tall, or 5\' 11"',
        'x "quoted" y',
        '"a "" b"',
        '""',
    ],
)
def test_what_is_quoted_rightly_stays(note: str) -> None:
    rows = table_of(people_with({4: note, 39: note}))
    assert [row[2] for row in rows[1:]] == [f"p{n}@c.example" for n in range(40)]


def test_a_line_break_in_a_quoted_header_stays() -> None:
    assert table_of('"First\nName",Email,"Note, if\nany"\nAna,a@b.example,x\n')[1] == [
        "Ana",
        "a@b.example",
        "x",
    ]
