from __future__ import annotations

import datetime as dt

import pytest

from outreach_sdk.domain.return_date import find_return_date

TODAY = dt.date(2026, 3, 2)


@pytest.mark.rule(17)
@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("I am on leave through Friday, 13 March.", (3, 14)),
        ("Out of office 2 March through 13 March.", (3, 14)),
        ("Ich bin bis einschließlich 13.03. im Urlaub.", (3, 14)),
        ("Je suis absente du 2 au 13 mars inclus.", (3, 14)),
        ("Sono in ferie fino al 13/03 compreso.", (3, 14)),
        ("Estaré fuera del 2 al 13 de marzo, ambos incluidos.", (3, 14)),
        ("Ik ben t/m 13-03-2026 met verlof.", (3, 14)),
        ("Urlop do 13.03.2026 włącznie.", (3, 14)),
        ("Jeg har ferie til og med 13. mars.", (3, 14)),
        ("Away through 13 March, back on 16 March.", (3, 16)),
        ("Tot en met vrijdag 13 maart ben ik weg. Vanaf maandag 16 maart lees ik mijn mail weer.", (3, 16)),
        ("I am out of the office March 9-13.", (3, 13)),
        ("Out 2.3.-13.3.2026, for urgent matters call the desk.", (3, 13)),
        ("OOO 02-Mar-2026 to 13-Mar-2026.", (3, 13)),
        ("Dovolená do 13. března. Zpět budu v pondělí 16. 3. 2026.", (3, 16)),
        ("Sunt plecat până pe 13 martie, revin luni, 16 martie.", (3, 16)),
        ("Λείπω μέχρι τις 13 Μαρτίου και επιστρέφω στις 16 Μαρτίου.", (3, 16)),
        ("Я у відпустці до 13 березня, повернуся 16 березня.", (3, 16)),
        ("Som na dovolenke, vrátim sa 16. júna.", (6, 16)),
        ("ลาพักร้อน จะกลับมาวันที่ 16 มีนาคม 2569", (3, 16)),
        ("Tôi nghỉ phép đến 13 tháng 3.", (3, 13)),
        ("Bin bis Ende Mai 2026 in Elternzeit.", (6, 1)),
        ("Away until the 30th.", (3, 30)),
        ("Back in the office Monday 16th.", (3, 16)),
        ("Regreso el lunes 16.", (3, 16)),
        ("Am Montag, den 16. bin ich zurück.", (3, 16)),
        ("Back on Monday 9 am.", (3, 9)),
        ("Jestem na urlopie do 13.03", (3, 13)),
        ("Ich bin bis 13.3 nicht da.", (3, 13)),
        ("Out sick today, back tomorrow.", (3, 3)),
        ("Ich bin heute krank und antworte Ihnen morgen.", (3, 3)),
        ("Guten Morgen, ich bin im Urlaub.", None),
        ("Out until 13 March. Join our webinar on 9 April, when we return to pensions.", (3, 13)),
        ("Out until 13 March. My colleague Ben Ode returns on 30 March.", (3, 13)),
        ("At a conference until 13 March.", (3, 13)),
        ("I have moved to ana@new.example; this mailbox will be switched off on 31 March 2026.", None),
    ],
)
def test_nobody_is_written_to_on_a_day_away(text: str, day: tuple[int, int] | None) -> None:
    assert find_return_date(text, TODAY) == (dt.date(2026, *day) if day else None)
