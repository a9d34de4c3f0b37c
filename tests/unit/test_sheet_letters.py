"""Names as files really hold them: under plain English headers, in the encodings spreadsheets save."""

from __future__ import annotations

import pytest

from outreach_sdk.domain.sheet import SheetFormat, decode_table, sniff, survey

NAMES = {
    "Polish": "Łukasz Wiśniewski,Paweł Kowalczyk,Małgorzata Zając,Michał Wójcik,Anna Nowak,Święty Żak,Grażyna Bąk",
    "Czech": "Jiří Dvořák,Tomáš Černý,Jana Nováková,Lukáš Procházka,Petr Šimek,Eva Růžičková,Zdeněk Kučera",
    "Hungarian": "László Nagy,Győző Tóth,Ágnes Szabó,Zoltán Kőszegi,Péter Varga,Tünde Németh",
    "Croatian": "Željko Horvat,Marko Kovačević,Ivana Babić,Đurđa Marić,Saša Novak",
    "Turkish": "Gülşah Şahin,İbrahim Yıldız,Ayşe Öztürk,Mehmet Çelik,Oğuz Demir",
    "Turkish without ü": "Ayşe Yılmaz,Mehmet Yıldız,Ali Demir,Barış Kaya",
    "Latvian": "Jānis Bērziņš,Ilze Kalniņa,Līga Ozoliņa",
    "German": "Jürgen Böhm,Anna Müller,Jörg Groß,Uwe Schäfer,Günter Köhler",
    "French": "Hélène Lefèvre,François Durand,Zoë Béart,Benoît Dupré,Gaëlle D’Alès",
    "Spanish": "José Muñoz,María García,Iñaki Núñez,Ramón Pérez",
    "Portuguese": "João Simões,Conceição Guimarães,António Gonçalves,Inês Araújo",
    "Danish": "Søren Jørgensen,Mads Kjær,Åse Østergaard",
    "Icelandic": "Jón Guðmundsson,Þóra Sigurðardóttir,Ægir Þórsson",
    "Western": "Søren Kjær,José Muñoz,François Durand,Jürgen Böhm,Åsa Öberg,João Simões,Zoë Lefèvre",
    "one": "Zoë Smith,Ann Li",
    "Russian": "Иван Петров,Ольга Кузнецова,Сергей Смирнов,Анна Щербакова",
    "Greek": "Γιώργος Παπαδόπουλος,Μαρία Κώστα,Νίκος Οικονόμου,Άννα Έλλη",
    "Hebrew": "יוסי כהן,דנה לוי,אברהם מזרחי",
    "Japanese": "佐藤 花子,鈴木 一郎,田中 さくら,山本 ケン",
    "Chinese": "王芳 总监,李伟 经理,张敏 总监",
}
ENCODINGS = {
    "Polish": ("cp1250", "iso8859-2", "cp852"),
    "Czech": ("cp1250", "iso8859-2", "cp852"),
    "Hungarian": ("cp1250", "iso8859-2", "cp852"),
    "Croatian": ("cp1250", "iso8859-2"),
    "Turkish": ("cp1254", "iso8859-9"),
    "Turkish without ü": ("cp1254",),
    "Latvian": ("cp1257",),
    "German": ("cp1252", "mac_roman", "cp850", "cp437"),
    "French": ("cp1252", "mac_roman"),
    "Spanish": ("cp1252", "mac_roman", "cp850", "cp437"),
    "Portuguese": ("cp1252", "mac_roman", "cp850"),
    "Danish": ("cp1252", "mac_roman", "cp850"),
    "Icelandic": ("cp1252",),
    "Western": ("cp1252", "mac_roman"),
    "one": ("cp1252", "mac_roman"),
    "Russian": ("cp1251", "koi8-r", "cp866"),
    "Greek": ("cp1253", "iso8859-7"),
    "Hebrew": ("cp1255",),
    "Japanese": ("cp932", "euc_jp"),
    "Chinese": ("gb18030",),
}


def table(names: str, encoding: str, *, before: int = 0) -> tuple[bytes, list[list[str]]]:
    rows = [["First Name", "Last Name", "Email"]]
    rows += [["Bo", "Li", f"bo{n}@c.example"] for n in range(before)]
    rows += [[*name.split(" ", 1), f"x{n}@c.example"] for n, name in enumerate(names.split(",") * 4)]
    return "".join(";".join(row) + "\r\n" for row in rows).encode(encoding), rows


def cut(data: bytes) -> list[bytes]:
    return [data[at : at + 100_001] for at in range(0, len(data), 100_001)]


@pytest.mark.rule(20)
@pytest.mark.parametrize(("language", "encoding"), [(name, e) for name, es in ENCODINGS.items() for e in es])
def test_names_are_read_as_they_are_spelt(language: str, encoding: str) -> None:
    data, rows = table(NAMES[language], encoding)
    fmt = sniff(data, total=len(data))
    assert list(decode_table(data, fmt)) == rows, fmt.encoding
    assert fmt.notice is not None
    assert fmt.encoding in fmt.notice


@pytest.mark.rule(20)
@pytest.mark.parametrize(
    ("language", "encoding"),
    [("Western", "cp1252"), ("Polish", "cp1250"), ("German", "mac_roman"), ("Polish", "utf-8")],
)
def test_the_first_accent_may_come_late_in_the_file(language: str, encoding: str) -> None:
    data, rows = table(NAMES[language], encoding, before=20_000)
    fmt = survey(lambda: cut(data), len(data))
    assert list(decode_table(cut(data), fmt)) == rows
    assert (fmt.notice is None) == (encoding == "utf-8")


@pytest.mark.rule(20)
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_broken_line_in_utf_8_costs_the_others_nothing(end: str, mark: bytes) -> None:
    whole, rows = table(NAMES["Polish"] + "," + NAMES["Greek"], "utf-8")
    data = mark + whole + "Zoë;Müller;z@c.example\r\n".encode("cp1252") + "Łucja;Żak;l@c.example\r\n".encode()
    data = data.replace(b"\r\n", end.encode())
    fmt = survey(lambda: cut(data), len(data))
    last = [["Zoë", "Müller", "z@c.example"], ["Łucja", "Żak", "l@c.example"]]
    assert list(decode_table(cut(data), fmt)) == [*rows, *last]
    assert fmt.notice is not None
    assert "cp1252" in fmt.notice


def test_pieces_cut_within_a_line_end_or_a_letter_change_nothing() -> None:
    data = "Name;Email\r\nZoë;z@c.example\r\nÅsa;a@c.example\r\n".encode() + b"Jos\xe9;j@c.example\r\n"
    fmt = SheetFormat("utf-8", ";", 0, "cp1252")
    for size in range(1, 40):
        parts = [data[at : at + size] for at in range(0, len(data), size)]
        assert [row[0] for row in decode_table(parts, fmt)] == ["Name", "Zoë", "Åsa", "José"]


@pytest.mark.parametrize(
    "data", [b"Name,Email\nBo,b@c.example\n", "Name,Email\nŁucja,l@c.example\n".encode()]
)
def test_of_utf_8_nothing_is_told(data: bytes) -> None:
    assert survey(lambda: [data], len(data)).notice is None
