"""Judges replies, writes passages and reads headers by OpenAI's chat completions with a strict JSON schema.

https://developers.openai.com/api/docs/guides/structured-outputs
https://developers.openai.com/api/docs/guides/error-codes
"""

from __future__ import annotations

import datetime as dt
import email.utils
import hashlib
import json
import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from outreach_sdk.ai.port import Judgement, Written
from outreach_sdk.domain.header_answer import HEADERS_QUESTION, HEADERS_SCHEMA
from outreach_sdk.domain.passage import PASSAGE_SCHEMA, REQUEST, read_passage
from outreach_sdk.domain.reply_answer import QUESTION, QUESTION_VERSION, SCHEMA, read_answer
from outreach_sdk.errors import AiDenied, AiError, AiUnavailable, AiUnusable

if TYPE_CHECKING:
    import openai

__all__ = ["DEFAULT_MODEL", "OPENAI", "OpenAiJudge", "price"]

OPENAI = "https://api.openai.com/v1"
DEFAULT_MODEL = "gpt-4.1-mini"

_PRICES: dict[str, tuple[float, float]] = {
    "gpt-4.1-nano": (0.10, 0.40),
    "gpt-4.1-mini": (0.40, 1.60),
    "gpt-4.1": (2.00, 8.00),
    "gpt-4o-mini": (0.15, 0.60),
    "gpt-4o": (2.50, 10.00),
    "gpt-5-nano": (0.05, 0.40),
    "gpt-5-mini": (0.25, 2.00),
    "gpt-5.4-nano": (0.20, 1.25),
    "gpt-5.4-mini": (0.75, 4.50),
    "gpt-5": (1.25, 10.00),
}
"""Millionths of a dollar a token, in and out. Cached tokens cost less, which isn't counted."""

_DEAR = (15.0, 60.0)
"""What a model nobody here knows is counted at: a spend limit is rather reached too early."""

MAX_TEXT = 6_000
MAX_STEP = 4_000
MAX_OUT = 1_500
"""Tokens. The answer takes about 60; a model that reasons first needs the rest."""
MAX_BODY = 500_000
LONGEST_WAIT = 3_600.0

# Error codes, whatever the status, that no waiting mends: the account has nothing left to spend.
_NO_CREDIT = frozenset({"insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached"})


def price(model: str) -> tuple[float, float]:
    """What a token of `model` costs, in and out; a dated name ("gpt-4.1-mini-2025-04-14") is its family's."""
    known = [name for name in _PRICES if model == name or model.startswith(f"{name}-20")]
    return _PRICES[max(known, key=len)] if known else _DEAR


class OpenAiJudge:
    """All three ports. `api_key` gives the key when the client is made; `timeout` is a call's, in seconds, as a whole."""

    def __init__(
        self,
        api_key: Callable[[], str],
        *,
        model: str = DEFAULT_MODEL,
        base_url: str = OPENAI,
        timeout: float = 20.0,
    ) -> None:
        self._key, self._model, self._base_url, self._timeout = api_key, model, base_url, timeout
        self._made: openai.OpenAI | None = None
        self._guard = threading.Lock()

    def __repr__(self) -> str:
        return f"OpenAiJudge({self._model} at {self._base_url})"

    @property
    def identity(self) -> str:
        told = "\n".join((self._base_url, self._model, self._key()))
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def most(self, text: str, step: str) -> int:
        # No tokenizer makes more tokens of a text than it has bytes; 200 are for what frames the messages.
        sent = sum(len(m["content"].encode()) for m in _messages(text, step)) + len(json.dumps(SCHEMA)) + 200
        into, out = price(self._model)
        return math.ceil(sent * into + MAX_OUT * out)

    def judge(self, text: str, step: str, *, known: Collection[str] = ()) -> Judgement:
        told = self._ask(_messages(text, step))
        model = told.get("model") if isinstance(told.get("model"), str) else self._model
        tokens, cost = self._spent(told, str(model))
        answer, trouble = _content(told)
        if not trouble:
            try:
                found = read_answer(answer, text)
            except ValueError as exc:
                trouble = str(exc)
            else:
                who = found.referral
                new = who is not None and who.email not in {a.lower() for a in known}
                return Judgement(
                    found.kind,
                    found.confidence,
                    who.name if who else "",
                    who.email if who and new else "",
                    model=str(model)[:100],
                    version=QUESTION_VERSION,
                    answer=answer,
                    tokens=tokens,
                    cost=cost,
                )
        raise AiUnusable(
            f"The model's answer can't be used: {trouble}.", cost=cost, tokens=tokens, answer=answer
        )

    def most_for(self, prompt: str) -> int:
        sent = (
            sum(len(m["content"].encode()) for m in _request(prompt)) + len(json.dumps(PASSAGE_SCHEMA)) + 200
        )
        into, out = price(self._model)
        return math.ceil(sent * into + MAX_OUT * out)

    def write(self, prompt: str) -> Written:
        told = self._ask(_request(prompt), "passage", PASSAGE_SCHEMA)
        model = told.get("model") if isinstance(told.get("model"), str) else self._model
        tokens, cost = self._spent(told, str(model))
        answer, trouble = _content(told)
        if not trouble:
            try:
                return Written(read_passage(answer), str(model)[:100], tokens, cost)
            except ValueError as exc:
                trouble = str(exc)
        raise AiUnusable(f"The model's passage can't be used: {trouble}.", cost=cost, tokens=tokens)

    def most_for_headers(self, question: str) -> int:
        sent = len((HEADERS_QUESTION + question).encode()) + len(json.dumps(HEADERS_SCHEMA)) + 200
        into, out = price(self._model)
        return math.ceil(sent * into + MAX_OUT * out)

    def read_headers(self, question: str) -> Written:
        messages = [
            {"role": "system", "content": HEADERS_QUESTION},
            {"role": "user", "content": question},
        ]
        told = self._ask(messages, "columns", HEADERS_SCHEMA)
        model = told.get("model") if isinstance(told.get("model"), str) else self._model
        tokens, cost = self._spent(told, str(model))
        answer, trouble = _content(told)
        if trouble:
            raise AiUnusable(f"The model's answer can't be used: {trouble}.", cost=cost, tokens=tokens)
        return Written(answer, str(model)[:100], tokens, cost)

    def close(self) -> None:
        with self._guard:
            if self._made is not None:
                self._made.close()
                self._made = None

    def _client(self) -> openai.OpenAI:
        with self._guard:
            if self._made is None:
                import openai

                self._made = openai.OpenAI(
                    api_key=self._key(),
                    base_url=self._base_url,
                    timeout=self._timeout,
                    max_retries=0,
                    http_client=openai.DefaultHttpxClient(event_hooks={"response": [self._refuse]}),
                )
            return self._made

    def _ask(
        self, messages: list[dict[str, str]], name: str = "kind_of_reply", schema: dict[str, Any] = SCHEMA
    ) -> dict[str, Any]:
        """The response's JSON. The library's errors are never passed on or chained: they hold the request, with
        its key, and what the server chose to say."""
        import openai

        failure: AiError
        try:
            return self._exchange(messages, name, schema)
        except openai.APITimeoutError:
            failure = AiUnavailable("OpenAI didn't answer in time.", cost=None)
        except openai.APIConnectionError as exc:
            # Only where no connection came about is it sure that nothing was asked.
            unasked = type(exc.__cause__).__name__ in ("ConnectError", "ConnectTimeout")
            refused = exc.__cause__ if isinstance(exc.__cause__, AiError) else None
            failure = refused or AiUnavailable("OpenAI can't be reached.", cost=0 if unasked else None)
        except openai.OpenAIError:
            failure = AiUnusable("OpenAI's library couldn't make the request.")
        raise failure from None

    def _refuse(self, response: Any) -> None:
        """Called with each response before its body is read, which the library would do without any bound."""
        if response.status_code < 400:
            return
        code = None
        try:
            told = json.loads(_read(response.iter_bytes(), time.monotonic() + self._timeout))
            code = told["error"]["code"]
        except (AiError, ValueError, RecursionError, KeyError, TypeError):
            pass  # the status says enough
        raise _refused(response.status_code, code, response.headers)

    def _exchange(self, messages: list[dict[str, str]], name: str, schema: dict[str, Any]) -> dict[str, Any]:
        # No size is given to iter_bytes: it would wait until so much has come.
        # Read by hand: the library's time-out starts anew with every byte, and its models trust the shape.
        calls: Any = self._client().chat.completions.with_streaming_response
        until = time.monotonic() + self._timeout
        with calls.create(
            model=self._model,
            messages=messages,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": name, "strict": True, "schema": schema},
            },
            max_completion_tokens=MAX_OUT,
            store=False,
        ) as response:
            body = _read(response.iter_bytes(), until)
        try:
            told = json.loads(body)
        except (ValueError, RecursionError):
            raise AiUnusable(
                "The model's answer can't be used: the response is no JSON.", cost=None
            ) from None
        if not isinstance(told, dict):
            raise AiUnusable("The model's answer can't be used: the response is no object.", cost=None)
        return told

    def _spent(self, told: dict[str, Any], model: str) -> tuple[int, int | None]:
        """(tokens, cost) as the response says; (0, None) where it doesn't."""
        usage = told.get("usage")
        counts = (
            [usage.get(n) for n in ("prompt_tokens", "completion_tokens")] if isinstance(usage, dict) else []
        )
        numbers = [c for c in counts if isinstance(c, int) and not isinstance(c, bool) and 0 <= c < 10**7]
        if len(numbers) != 2:
            return 0, None
        rates = price(model) if price(model) != _DEAR else price(self._model)
        return sum(numbers), math.ceil(sum(n * r for n, r in zip(numbers, rates, strict=True)))


def _read(pieces: Iterator[bytes], until: float) -> bytes:
    body = bytearray()
    while True:
        try:
            piece = next(pieces, None)
        except Exception:  # whichever HTTP library is beneath
            raise AiUnavailable("OpenAI's answer broke off.", cost=None) from None
        if piece is None:
            return bytes(body)
        body += piece
        if len(body) > MAX_BODY:
            raise AiUnusable("The model's answer can't be used: it is too long.", cost=None)
        if time.monotonic() > until:
            raise AiUnavailable("OpenAI didn't answer in time.", cost=None)


def _messages(text: str, step: str) -> list[dict[str, str]]:
    quoted = json.dumps({"recruiter": step[:MAX_STEP], "candidate": text[:MAX_TEXT]}, ensure_ascii=False)
    return [{"role": "system", "content": QUESTION}, {"role": "user", "content": quoted}]


def _request(prompt: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": REQUEST}, {"role": "user", "content": prompt}]


def _content(told: dict[str, Any]) -> tuple[str, str]:
    """(the model's words, what is wrong with them or '')."""
    try:
        choice = told["choices"][0]
        message = choice["message"]
        answer, refusal, ended = message.get("content"), message.get("refusal"), choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError):
        return "", "it holds no message"
    if refusal:
        return str(refusal)[:4_000], "it refused"
    if not isinstance(answer, str):
        return "", "it holds no message"
    if ended != "stop":
        return answer[:4_000], "it is cut off"
    return answer, ""


def _refused(status: int, code: object, headers: Mapping[str, str]) -> AiError:
    if isinstance(code, str) and code in _NO_CREDIT:
        return AiDenied("The OpenAI account has no credit left. Add some, or see its limits.")
    if status in (401, 403):
        return AiDenied("OpenAI refuses the key. Set a working OPENAI_API_KEY where the workers run.")
    if status == 404:
        return AiDenied("OpenAI doesn't know the model, or the address is wrong: see OUTREACH_OPENAI_MODEL.")
    if status == 429:
        busy = AiUnavailable("OpenAI says: not now.", retry_after=_retry_after(headers) or 30.0)
        busy.busy = True
        return busy
    if status in (408, 409) or status >= 500:
        return AiUnavailable(f"OpenAI is out of order ({status}).", retry_after=_retry_after(headers))
    return AiUnusable(f"OpenAI can't take the request ({status}).")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, within bounds (RFC 9110 10.2.3; OpenAI adds `retry-after-ms`)."""
    wait = math.nan
    try:
        if "retry-after-ms" in headers:
            wait = float(headers["retry-after-ms"]) / 1000
        elif "retry-after" in headers:
            value = headers["retry-after"]
            try:
                wait = float(value)
            except ValueError:
                at = email.utils.parsedate_to_datetime(value)
                wait = (at - dt.datetime.now(at.tzinfo)).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(wait, 1.0), LONGEST_WAIT) if math.isfinite(wait) else None
