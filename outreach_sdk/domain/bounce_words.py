"""What mail servers say when they refuse a message, sorted by what it means for the address."""

from __future__ import annotations

import re

__all__ = ["PASSING", "POLICY", "UNKNOWN"]

# What servers say when nobody by that name lives there, or the host doesn't exist.
UNKNOWN = re.compile(
    r"user[ -]?(?:is )?unknown|unknown[ -](?:user|recipient|local|address|mailbox|account|e-?mail|"
    r"or illegal|to us)|"
    r"no such (?:user|recipient|person|mailbox|address|account|local|domain|host|email)|nosuchuser|"
    r"non-?exist[ae]nt|not listed in|"
    r"(?:user|recipient|mailbox|address|account|addressee|domain|host|inbox|"
    r"email)\b[^.\n]{0,60}?\b(?:does|do|did|"
    r"could|can)(?:n['’]?t| ?not) (?:exist|be found)|(?:does|do)(?:n['’]?t| not) have an? [^\n]{0,40}account|"
    r"(?:not|n['’]t) (?:be )?found (?:at|in|on)|recipnotfound|recipient not found|user not (?:found|exist)|"
    r"(?:user|recipient|mailbox|address|account|domain)[^.\n]{0,30} (?:was |is )?not (?:be )?(?:found|known)|"
    r"address(?:ee)? (?:is )?unknown|(?:could|was)(?:n['’]t| not) (?:be )?found|not found in directory|"
    r"invalid (?:recipient|user|mailbox|final delivery)|(?:recipient|mailbox) (?:address )?(?:is )?invalid|"
    r"not a (?:valid|known) (?:user|recipient|mailbox|address)|(?:isn['’]t|is not) (?:a )?(?:valid|known) "
    r"(?:user|recipient|mailbox|address|e-?mail)|no (?:mailbox|account|user)\b[^.\n]{0,20}(?:here|"
    r"by that name|with"
    r" that name)|no mailbox by that|not our customer|not a customer|bad destination (?:mailbox|host|system)|"
    r"no longer (?:valid|available|active|with us|in use|exists|employed|works|on server|receiv\w+)|"
    r"(?:disabled or|been) discontinued|550[^\n]{0,60}[ \n]+mailbox unavailable|action not taken:\s+mailbox "
    r"unavailable|host (?:name )?(?:is )?unknown|unknown host|host [\w.-]+ not found|"
    r"domain (?:name )?(?:not found|"
    r"does not exist)|name or service not known|host or domain name not found|nxdomain|"
    r"(?:unrouteable|unroutable|undeliverable) address|(?:address|user|account|"
    r"mailbox) has (?:moved|changed)|"
    r"adresse? (?:ist )?(?:unbekannt|ungültig)|existiert nicht|n['’]existe pas|inconnu|no existe|non esiste|"
    r"onbekend|não existe|nie istnieje|не существует|не найден|存在しません|見つかりません|宛先不明|"
    r"不存在|존재하지",
    re.I,
)
# What may pass, or isn't the address's fault.
PASSING = re.compile(
    r"quota|(?:mailbox|inbox|account|disk|storage|folder|maildir)\b[^.\n]{0,30}\b(?:full|overdrawn)|exceed|"
    r"insufficient|too (?:large|big|long|many|much)|size limit|message size|grey ?list|try again|"
    r"temporar|rate limit|"
    r"throttl|timed? ?out|expired|retry|connection (?:refused|reset|lost|dropped)|\bloop|"
    r"too many hops|routing|"
    r"disabled|suspended|inactive|deactivated|system error|mail ?system|configuration|attachment|"
    r"unavailable|busy|"
    r"overload|delayed|一杯|容量|voll\b|llen[ao]|plein|pien[ao]",
    re.I,
)
# Refused for who sent it or what was in it: says nothing about the address, whatever its code.
POLICY = re.compile(
    r"spam|junk|black ?list|block(?:ed|list)|(?<!not )\blisted\b|polic(?:y|ies)|virus|malware|\bspf\b|dkim|"
    r"dmarc|\brbl\b|"
    r"dnsbl|reputation|relay(?:ing)? (?:access )?(?:denied|not)|authenticat|not (?:authori[sz]ed|"
    r"permitted|allowed)|"
    r"access denied|denied by|reverse dns|\brdns\b|invalid ip|banned|prohibited|forbidden|restricted|"
    r"sender (?:address )?(?:rejected|verif|refused)|sender (?:is )?(?:unknown|invalid)|message content|"
    r"content (?:reject|filter)|recipient preferences|media error|protocol violation|(?:un\w+|"
    r"invalid) sender",
    re.I,
)
