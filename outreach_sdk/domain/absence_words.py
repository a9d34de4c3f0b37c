"""How people say that they are away, in many languages."""

from __future__ import annotations

__all__ = ["ABSENCE"]

ABSENCE = (
    r"out of (?:the |my )?office|\booo\b|away from (?:the|my) (?:office|desk|email|e-mail)|"
    r"on (?:annual |parental |maternity "
    r"|paternity |sick |medical |extended )?(?:leave|vacation|holidays?|pto)\b|currently (?:away|"
    r"out|travell?ing|"
    r"unavailable)|limited access to (?:my )?e-?mail|will (?:be )?(?:return|back|respond|reply) [^.\n]{0,40}"
    r"(?:return|when|upon|on|as soon)|i am away|i['’]m away|im (?:urlaub|büro erst|ausland|mutterschutz)|"
    r"in (?:elternzeit|karenz)|congé (?:parental|(?:de )?maternité)|baja (?:maternal|por)|in congedo|in maternità|"
    r"licença|na dopustu|nisam u kancelariji|отсъствам|"
    r"nicht im (?:büro|haus|"
    r"office)|abwesend|außer haus|nicht erreichbar|absent[e]?\b|en congés?|en vacances|"
    r"hors du bureau|fuera de (?:la )?"
    r"oficina|de vacaciones|ausente|fuori (?:sede|ufficio)|in ferie|assente|fora do escrit[oó]rio|"
    r"de f[eé]rias|afwezig|"
    r"niet (?:aanwezig|op kantoor)|met vakantie|nieobecn|poza biurem|na urlopie|не будет в офисе|"
    r"в отпуске|отсутству|"
    r"вне офиса|frånvarande|på semester|ikke på kontoret|på ferie|bortrest|poissa|lomalla|nejsem v kanceláři|"
    r"dovolen|szabadságon|izinde|ofis dışında|不在|休暇|外出|休假|外出|不在办公室|부재|휴가|מחוץ למשרד|"
    r"בחופשה|خارج المكتب"
)
"""A pattern, for text in any case."""
