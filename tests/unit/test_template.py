from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outreach_sdk.domain.message import is_html
from outreach_sdk.domain.snippets import expand, literal
from outreach_sdk.domain.template import (
    MAX_SOURCE_BYTES,
    fields,
    missing,
    normalise_field,
    parse,
    prompts,
    render,
    render_subject,
)
from outreach_sdk.errors import MissingField, TemplateError


@pytest.mark.rule(9)
def test_fields_meet_their_data_whatever_the_spelling() -> None:
    data = {"First Name": "Ana", "COMPANY": "Acme"}
    assert render("Hi {{ first_name }} at {{ Company }}", data, html=False) == "Hi Ana at Acme"
    assert render("Hi {{ First Name }}", data, html=False) == "Hi Ana"


@pytest.mark.rule(9)
@pytest.mark.parametrize("value", [None, "", "   ", "\u200b", "\n"])
def test_an_empty_field_is_a_missing_one(value: str | None) -> None:
    data = {} if value is None else {"first_name": value}
    assert missing("Hi {{ first_name }},", data) == ["first_name"]
    with pytest.raises(MissingField) as caught:
        render("Hi {{ first_name }}, {{ title }}", data, html=True)
    assert caught.value.fields == ("first_name", "title")
    assert render("Hi {{ first_name | fallback('there') }},", data, html=False) == "Hi there,"
    assert render("Hi {{ first_name | default('there', true) }},", data, html=False) == "Hi there,"


@pytest.mark.rule(9)
def test_branches_not_taken_need_nothing() -> None:
    source = "{% if company %}at {{ company }}{% else %}in {{ city }}{% endif %}"
    assert missing(source, {"company": "Acme"}) == []
    assert missing(source, {}) == ["city"]
    assert fields(source).required == {"city"}
    assert fields(source).optional == {"company"}


def test_required_and_optional() -> None:
    found = fields("{{ a }}{{ b | fallback('x') }}{{ c | upper | fallback(d) }}{{ e if not f else f }}")
    assert found.required == {"a", "d", "e"}
    assert found.optional == {"b", "c", "f"}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ x | upper }}", "ANA MARIA"),
        ("{{ x | lower | title }}", "Ana Maria"),
        ("{{ x | first_word | capitalize }}", "Ana"),
        ("{{ y | title | fallback('—') }}", "—"),
        ("{{ 'yes' if x == 'ana maria' }}{{ 'no' if y }}", "yes"),
        ("{{ 'set' if x is defined }}{{ 'unset' if y is undefined }}", "setunset"),
        ("{# note #}{% raw %}{{ x }}{% endraw %}\n", "{{ x }}\n"),
    ],
)
def test_what_a_template_may_do(source: str, text: str) -> None:
    assert render(source, {"x": " ana maria "}, html=False) == text


@pytest.mark.parametrize(
    "source",
    [
        "{% for x in y %}{% endfor %}",
        "{% set a = 1 %}",
        "{% include 'x' %}",
        "{% macro m() %}{% endmacro %}",
        "{% block b %}{% endblock %}",
        "{{ a.b }}",
        "{{ a['b'] }}",
        "{{ a() }}",
        "{{ ''.__class__ }}",
        "{{ 'a' * 1000000000 }}",
        "{{ a | attr('x') }}",
        "{{ a | upper(1) }}",
        "{{ a | fallback }}",
        "{{ a | default(b=1) }}",
        "{{ a is divisibleby 3 }}",
        "{{ a < b }}",
        "{{ [a] }}",
        "{{ a",
        "{% if a %}",
        "{{" + "(" * 3000 + "a" + ")" * 3000 + "}}",
        "{% if a %}" * 60 + "{% endif %}" * 60,
        "{{ a" + " | upper" * 500 + " }}",
        "x" * (MAX_SOURCE_BYTES + 1),
    ],
)
def test_everything_else_is_refused(source: str) -> None:
    with pytest.raises(TemplateError):
        parse(source, field="body")


def test_the_error_names_field_and_line() -> None:
    with pytest.raises(TemplateError, match=r"subject, line 2.*For isn't allowed"):
        parse("one\n{% for x in y %}{% endfor %}", field="subject")


def test_names_that_mean_something_to_jinja_are_plain_fields() -> None:
    assert missing("{{ self }}{{ loop }}{{ range }}", {}) == ["self", "loop", "range"]


def test_the_text_may_not_explode() -> None:
    with pytest.raises(TemplateError, match="longer than"):
        render("{{ a }}" * 100, {"a": "x" * 10_000}, html=False)


class _Markup(str):
    def __html__(self) -> str:
        return str(self)


@pytest.mark.rule(9)
def test_values_inject_neither_templates_nor_tags() -> None:
    data = {"a": "{{ b }}<b>&", "b": "secret", "c": _Markup("<i>")}
    assert render("{{ a }}", data, html=False) == "{{ b }}<b>&"
    assert render("{{ a }}", data, html=True) == "{{ b }}&lt;b&gt;&amp;"
    assert render("{{ c }}", data, html=True) == "&lt;i&gt;"


def test_a_subject_stays_on_one_line() -> None:
    assert (
        render_subject("Role\nat {{ a }}", {"a": "Acme\r\nBcc: x@y.z\u2028!"}) == "Role at Acme Bcc: x@y.z !"
    )


@given(st.text(max_size=60), st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=3))
def test_any_text_renders_or_is_refused_by_name(source: str, data: dict[str, str]) -> None:
    try:
        text = render(source, data, html=True)
    except (TemplateError, MissingField):
        return
    assert missing(source, data) == []
    assert isinstance(text, str)


@given(st.text(max_size=200))
def test_a_value_comes_out_escaped_whatever_it_is(value: str) -> None:
    text = render("[{{ v | fallback('-') }}]", {"v": value}, html=True)
    assert "<" not in text
    assert ">" not in text


@given(
    st.lists(
        st.sampled_from(["{{ a }}", "{{ b }}", "{{ First Name }}", "Hi <b>&\n", " \n", "é'\"{ }", "{# c #}"])
    ),
    st.dictionaries(st.sampled_from(["a", "B", "first name", "FIRST_NAME"]), st.text(max_size=12)),
    st.booleans(),
)
def test_texts_and_fields_alone_come_out_as_in_a_branch(
    pieces: list[str], data: dict[str, str], html: bool
) -> None:
    source = "".join(pieces)
    branch = f"{{% if true %}}{source}{{% endif %}}"
    assert missing(source, data) == missing(branch, data)
    if not missing(source, data):
        assert render(source, data, html=html) == render(branch, data, html=html)
        assert render_subject(source, data) == render_subject(branch, data)


@given(st.text(max_size=40))
def test_field_names_have_one_spelling(name: str) -> None:
    once = normalise_field(name)
    assert normalise_field(once) == once
    assert not once or once.isidentifier()


# -- calls -----------------------------------------------------------------------------------------
AI = '{{ ai("One line on {{ Company }}, {{ first_name }}", fallback="Well met.") }}'


@pytest.mark.rule(9)
def test_a_passage_stands_where_its_prompt_does_and_else_the_fallback() -> None:
    data = {"company": "Acme", "first_name": "Mia"}
    [asked] = prompts(f"Hi. {AI} {AI}", data)
    assert asked.text == "One line on Acme, Mia"
    assert render(AI, data, html=False) == "Well met."
    assert (
        render(AI, data, html=True, passages={asked.digest: "<b>Acme</b>\n\nis"})
        == "&lt;b&gt;Acme&lt;/b&gt; is"
    )
    assert parse(AI).fields.required == frozenset()
    assert parse(AI).fields.optional == {"company", "first_name"}
    assert prompts(AI, {"company": "Acme"})[0].text is None, "a prompt that lacks a field is asked of nobody"
    assert prompts(AI, {**data, "company": "Beta"})[0].digest != asked.digest
    warm = '{{ ai("On {{ company }}", fallback="how is {{ Company }}?") }}'
    assert render(warm, data, html=True) == "how is Acme?"
    assert missing(warm, {}) == ["company"]
    assert missing(warm, {}) == missing("{{ company }}", {}), (
        "a fallback's own field is missed like any other"
    )
    assert prompts("{% if x %}" + AI + "{% endif %}", data) == []


@pytest.mark.parametrize(
    "source",
    [
        '{{ ai("x") }}', '{{ ai(fallback="x") }}', '{{ ai("", fallback="x") }}', '{{ ai("x", fallback=first_name) }}',
        '{{ ai(first_name, fallback="x") }}', '{{ ai("x", "y") }}', '{{ ai("x", fallback="y", model="z") }}',
        '{{ ai("{% for a in b %}", fallback="x") }}', '{{ ai("{{ snippet(1) }}", fallback="x") }}', "{{ snippet() }}",
        '{{ ai("x", fallback="{{ snippet(1) }}") }}', '{{ ai("x", fallback="{% raw") }}',
        '{{ snippet("a", "b") }}', "{{ snippet(*x) }}", '{{ range("9") }}', '{{ x("y") }}', '{{ "a".join("b") }}',
        '{{ snippet("a").upper() }}', '{{ ai("x", fallback="y")("z") }}', '{{ ai("' + "x" * 2_001 + '", fallback="") }}',
    ],
)  # fmt: skip
def test_every_other_call_is_refused(source: str) -> None:
    with pytest.raises(TemplateError):
        parse(source)


def test_a_snippet_is_put_in_once_and_an_unknown_one_is_refused_by_name() -> None:
    known = {"a": "{{ first_name }} {{ snippet('a') }}"}
    assert expand('x {{ snippet("a") }} {{ snippet("b") }}', known) == (
        "x {{ first_name }} {{ snippet('a') }} {{ snippet(\"b\") }}"
    )
    with pytest.raises(TemplateError, match="no snippet"):
        render('{{ snippet("b") }}', {}, html=False)


@given(
    st.text(
        alphabet=st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], include_characters="\n\t"),
        max_size=200,
    )
)
def test_a_literal_comes_out_as_it_is(text: str) -> None:
    assert render(literal(text), {}, html=False) == text
    assert render(literal(text, plain=True), {}, html=False) == text
    assert not is_html(literal(text, plain=True))
