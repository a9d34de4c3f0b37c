"""Automatic answers that say a message came in, not that somebody is away: desks, ticket systems, challenges."""

from __future__ import annotations

import re

from outreach_sdk.domain.absence_words import ABSENCE

__all__ = ["acknowledges"]

_MAX_WORDS = 6_000

_RECEIVED = re.compile(
    r"(?:ticket|case|request|incident|reference)\s*(?:number|no\.?|id|#|:)|\[?(?:ticket|case|request)[ #-]*\d|"
    r"(?:your|the) (?:e-?mail|message|request|enquiry|inquiry|application|ticket|submission)\s"
    r"[^.\n]{0,30}(?:received|logged|opened|created|registered|forwarded|approval|waitlisted)|"
    r"(?:we |have )(?:got|received) your|we['’]ve (?:got|received)|confirming that we|"
    r"(?:thank you|thanks) for (?:contacting|writing to|getting in touch|reaching out|applying)|"
    r"(?:thank you|thanks) for your (?:application|enquiry|inquiry|request)|"
    r"will (?:get back to|respond to|answer) you (?:within|as soon)|"
    r"\bwe(?: will|['’]ll) (?:reply|respond|answer|be in touch|(?:get|come) back to you)\b[^.\n]{0,40}\b(?:shortly|soon|"
    r"within|in due course|next (?:working|business) day)\b|"
    r"(?:confirm|verify) (?:that )?(?:you are|you['’]re|your (?:e-?mail|address|message))|verification process|"
    r"captcha|guest list|pending approval|receiving junk|"
    r"ihre (?:anfrage|nachricht|e-?mail|bewerbung)[^.\n]{0,40}(?:eingegangen|erhalten)|vorgangsnummer|"
    r"ticketnummer|vielen dank für (?:ihre|deine) (?:anfrage|bewerbung)|"
    r"nous avons bien reçu|votre (?:demande|message|candidature)[^.\n]{0,40}(?:reçu|enregistré)|"
    r"numéro de (?:ticket|dossier)|hemos recibido|su (?:solicitud|mensaje|consulta)[^.\n]{0,40}recibid|"
    r"número de (?:ticket|caso|incidencia)|abbiamo ricevuto|numero (?:di )?ticket|"
    r"la (?:sua|tua) (?:richiesta|segnalazione)[^.\n]{0,40}ricevut|recebemos (?:a |o )?(?:sua|seu)|"
    r"sua solicitação[^.\n]{0,40}(?:recebida|registrada)|uw (?:bericht|aanvraag)[^.\n]{0,40}ontvangen|"
    r"otrzymaliśmy|numer zgłoszenia|ваш(?:е|а|у) (?:обращение|заявк\w+)[^.\n]{0,40}(?:получен|принят|зарегистр)|"
    r"お問い合わせ(?:ありがとう|を受け付け)|受付番号|已收到您的|工单|문의가 접수",
    re.I,
)
# Also the shorter words: whoever may be away is waited for.
_ABSENT = re.compile(
    rf"{ABSENCE}|\baway\b|travell?ing|(?:return(?:ing)?|back) (?:on|in|at)\b|urlaub|elternzeit|zurück|congé|"
    r"vacances|de retour|fuera de|vacaciones|de regreso|fuori|ferie|rientr|f[eé]rias|vakantie|op kantoor|terug|"
    r"urlop|отпуск|отсутств|вернусь|semester|frånvar|szabads",
    re.I,
)


def acknowledges(subject: str, words: str) -> bool:
    """Whether an automatic answer acknowledges a message, or asks for proof of its sender, and nobody says they are
    away. In doubt somebody is: waiting is the cheaper mistake."""
    text = f"{subject}\n{words}"[:_MAX_WORDS]
    return _RECEIVED.search(text) is not None and _ABSENT.search(text) is None
