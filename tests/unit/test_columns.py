from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outreach_sdk.domain.columns import FIELDS, map_columns


def _mapped(headers: list[str], *rows: list[str]) -> dict[str, str]:
    return {
        name: header for name, header in map_columns(headers, list(rows)).fields.items() if header is not None
    }


@pytest.mark.rule(20)
@pytest.mark.parametrize(
    "headers",
    [
        {
            "first_name": "First Name",
            "last_name": "Last Name",
            "email": "Email",
            "company": "Current Company",
        },
        {"first_name": "FIRST_NAME", "last_name": "LAST_NAME", "email": "E_MAIL", "title": "JOB_TITLE"},
        {
            "first_name": "firstName",
            "linkedin_url": "linkedInUrl",
            "company": "companyName",
            "title": "jobTitle",
        },
        {"first_name": "Contact: First Name", "email": "Contact: Email", "company": "Account: Account Name"},
        {"first_name": "Vorname", "last_name": "Name", "email": "E-Mail-Adresse", "phone": "Handynummer"},
        {"first_name": "Prénom", "last_name": "Nom", "email": "Courriel", "title": "Intitulé du poste"},
        {"first_name": "Nombre", "last_name": "Apellidos", "email": "Correo electrónico", "title": "Puesto"},
        {"first_name": "Nome", "last_name": "Cognome", "email": "Posta elettronica", "company": "Azienda"},
        {"first_name": "Nome", "last_name": "Sobrenome", "phone": "Telefone celular", "title": "Cargo"},
        {"full_name": "Naam", "email": "E-mailadres", "company": "Werkgever", "title": "Functie"},
        {"first_name": "Imię", "last_name": "Nazwisko", "email": "Adres e-mail", "title": "Stanowisko"},
        {"full_name": "ФИО", "email": "Эл. почта", "phone": "Мобильный телефон", "title": "Должность"},
        {"last_name": "姓", "first_name": "名", "email": "メールアドレス", "company": "勤務先"},
        {
            "full_name": "姓名",
            "email": "电子邮箱",
            "phone": "手机号码",
            "company": "公司名称",
            "title": "职位",
        },
        {"full_name": "이름", "email": "이메일 주소", "phone": "휴대폰", "company": "회사명"},
        {"first_name": "Fornavn", "last_name": "Etternavn", "email": "E-post", "title": "Stilling"},
        {"full_name": "What is your name?", "email": "Your email address *"},
        {"first_name": "Frist Name", "email": "Emial", "company": "Compnay"},
    ],
)
def test_headers_of_many_tongues(headers: dict[str, str]) -> None:
    assert _mapped(list(headers.values())) == headers


@pytest.mark.rule(20)
@pytest.mark.parametrize(
    "header",
    [
        "Recruiter email", "Owner Email", "Email status", "Email opt-in", "Manager e-mail", "Company Email",
        "Hiring Manager Email", "Referrer E-Mail", "Email Subject", "Email sent", "Last e-mail date", "Assistant email",
        "Email domain", "Contact owner email", "E-Mail Vorgesetzter", "Email du recruteur", "担当者メール", "メール配信",
        "Company Name for Emails", "Mailing City", "Email confidence", "Sender email",
    ],
)  # fmt: skip
def test_never_somebody_elses_address(header: str) -> None:
    people = [["rita@acme.example", "Ana"], ["rita@acme.example", "Bo"]]
    assert map_columns([header, "First Name"], people).fields["email"] is None
    both = map_columns([header, "Email"], [["rita@acme.example", "ana@home.example"]])
    assert both.fields["email"] == "Email"
    assert both.extra == [header]


@pytest.mark.rule(22)
def test_further_addresses_are_pointed_at() -> None:
    found = map_columns(["Personal Email", "Work Email", "Email status"], [])
    assert found.fields["email"] == "Work Email"
    assert found.more_emails == (0,)
    assert found.extra == ["Personal Email", "Email status"]


def test_values_overrule_headers() -> None:
    assert _mapped(["Title", "Email"], ["Mr", "yes"], ["Mrs", "no"]) == {}
    assert _mapped(["LinkedIn", "Phone"], ["yes", "n/a"]) == {}
    profile = "https://www.linkedin.com/in/ana"
    assert _mapped(["Website", "Company Linkedin Url"], [profile, profile]) == {"linkedin_url": "Website"}
    assert _mapped(["Email 1", "Email"], ["", "ana@example.com"])["email"] == "Email"


def test_headers_that_say_nothing_are_read_by_their_values() -> None:
    rows = [["Ana Silva", "ana@example.com", "linkedin.com/in/ana", "Acme GmbH", "+49 30 1234567"]]
    assert _mapped(["Col1", "Col2", "Col3", "Col4", "Col5"], *rows) == {
        "full_name": "Col1",
        "email": "Col2",
        "linkedin_url": "Col3",
        "company": "Col4",
        "phone": "Col5",
    }


def test_a_name_beside_its_parts_is_the_whole() -> None:
    assert _mapped(["Name", "First Name", "Last Name"])["full_name"] == "Name"
    assert _mapped(["Vorname", "Name"], ["Ana", "Silva"])["last_name"] == "Name"
    assert _mapped(["Nombre"]) == {"full_name": "Nombre"}
    assert _mapped(["List name", "File name", "Company Name", "Recruiter Name"]) == {
        "company": "Company Name"
    }


def test_repeated_headers_are_told_apart_by_position() -> None:
    found = map_columns(["Name", "Email", "Email"], [["Ana", "a@example.com", "b@example.com"]])
    assert found.columns["email"] == 1
    assert found.more_emails == (2,)


@given(
    st.lists(st.text(max_size=12), max_size=6),
    st.lists(st.lists(st.text(max_size=8), max_size=7), max_size=3),
)
def test_every_column_is_used_once(headers: list[str], rows: list[list[str]]) -> None:
    found = map_columns(headers, rows)
    used = [i for i in found.columns.values() if i is not None]
    assert set(found.fields) == set(FIELDS)
    assert len(used) == len(set(used))
    assert len(used) + len(found.extra) == len(headers)
