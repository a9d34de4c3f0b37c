"""Which column of a spreadsheet holds which field: by rules, and where they leave something open and a model can be
asked, by it. Whatever goes wrong with the model, the rules' answer stands."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable

from outreach_sdk.ai.port import HeaderReader
from outreach_sdk.domain.columns import Mapping
from outreach_sdk.domain.header_answer import asked, read_mapping, worth_asking
from outreach_sdk.engine import kinds
from outreach_sdk.engine.context import Engine
from outreach_sdk.errors import AiError

__all__ = ["Mapper", "by_model", "mapper_of"]

Mapper = Callable[[list[str], list[list[str]], Mapping], Mapping]
"""(headers, sample rows, what the rules found) -> what holds."""

_REMEMBERED = 100
_answers: OrderedDict[tuple[str, str], str] = OrderedDict()
_guard = threading.Lock()


def mapper_of(engine: Engine, workspace_id: int) -> Mapper:
    """Asks the engine's model, within the workspace's monthly limit and unless it is switched off there."""

    def spend(model: HeaderReader, question: str) -> str | None:
        if not kinds.allowed(engine.store, workspace_id, "ai_headers"):
            return None
        reserved_at, most = engine.now(), model.most_for_headers(question)
        if not kinds.reserve(engine.store, workspace_id, most, reserved_at):
            return None
        engine.store.idle()  # the call may take long
        settle = functools.partial(kinds.settle, engine.store, workspace_id, reserved_at, most)
        try:
            told = model.read_headers(question)
        except AiError as exc:
            settle(exc.cost, getattr(exc, "tokens", 0))
            return None
        settle(told.cost, told.tokens)
        return told.text

    def mapper(headers: list[str], sample: list[list[str]], rules: Mapping) -> Mapping:
        model = engine.header_reader() if worth_asking(rules) else None
        return rules if model is None else by_model(model, headers, sample, rules, ask=spend)

    return mapper


def _plainly(model: HeaderReader, question: str) -> str | None:
    try:
        return model.read_headers(question).text
    except AiError:
        return None


def by_model(
    model: HeaderReader,
    headers: list[str],
    sample: list[list[str]],
    rules: Mapping,
    *,
    ask: Callable[[HeaderReader, str], str | None] = _plainly,
) -> Mapping:
    """What the model says of columns that the rules left open; the rules' answer where it says nothing usable. The same
    question is asked once a process."""
    if not worth_asking(rules):
        return rules
    question = asked(headers, sample)
    key = (model.identity, question)
    with _guard:
        answer = _answers.get(key)
    if answer is None:
        answer = ask(model, question)
        if answer is None:
            return rules
    try:
        found = read_mapping(answer, headers, sample, rules)
    except ValueError:
        return rules
    with _guard:
        _answers[key] = answer
        while len(_answers) > _REMEMBERED:
            _answers.popitem(last=False)
    return found
