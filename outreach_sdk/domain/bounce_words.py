"""What mail servers say when they refuse a message, sorted by what it means for the address."""

from __future__ import annotations

import re

__all__ = ["BARE_UNKNOWN", "FULL", "PASSING", "POLICY", "UNKNOWN"]

FULL = re.compile(
    r"quota|\bfull\b|exceed|over ?drawn|diskspace|no space left|storage limit|out of (?:storage|space|disk)|"
    r"not enough (?:disk |storage )?space|postfach (?:ist )?(?:voll|überfüllt)|überfüllt|"
    r"bo[iî]te (?:de réception |aux lettres |du destinataire )?(?:est )?pleine|buzón (?:está )?lleno|"
    r"casell\w+ (?:è )?piena|caixa (?:postal |de entrada )?(?:está )?cheia|переполнен|skrzynk\w+ [^\n]{0,30}pełn|"
    r"postvak (?:is )?vol\b|inkorgen är full|已满|空间不足|容量(?:超過|オーバー)|いっぱいです|가득",
    re.I,
)
# The two words alone, which filters borrow.
BARE_UNKNOWN = re.compile(
    r"\b(?:user[ -]?(?:is )?unknown|unknown user|no such user|disabled or discontinued)\b", re.I
)

# What servers say when nobody by that name lives there, or the host doesn't exist.
UNKNOWN = re.compile(
    r"user[ -]?(?:is )?unknown|unknown[ -](?:user|recipient|local|address|mailbox|account|e-?mail|"
    r"or illegal|to us)|"
    r"no such (?:user|recipient|person|mailbox|address|account|local|domain|host|email)|nosuchuser|"
    r"non-?exist[ae]nt|not listed in|"
    r"(?:user|recipient|rcpt|mailbox|address|account|addressee|domain|host|inbox|"
    r"email)\b[^.\n]{0,60}?\b(?:does|do|did|"
    r"could|can)(?:n['’]?t| ?not) (?:exist|be found)|(?:does|do)(?:n['’]?t| not) have an? [^\n]{0,40}account|"
    r"(?:not|n['’]t) (?:be )?found (?:at|in|on)|recipnotfound|recipient not found|user not (?:found|exist)|"
    r"(?:user|recipient|mailbox|address|account|domain)[^.\n]{0,30} (?:was |is )?not (?:be )?(?:found|known)|"
    r"(?:user|recipient|mailbox|addressee) ['\"<][^\n'\">]{1,64}['\">] (?:is |was )?unknown|"
    r"address(?:ee)? (?:is )?unknown|(?:could|was)(?:n['’]t| not) (?:be )?found|not found in directory|"
    r"invalid (?:recipient|user|mailbox|final delivery)|(?:recipient|mailbox) (?:address )?(?:is )?invalid|"
    r"not a (?:valid|known) (?:user|recipient|mailbox|address)|(?:isn['’]t|is not) (?:a )?(?:valid|known) "
    r"(?:user|recipient|mailbox|address|e-?mail)|no (?:mailbox|account|user)\b[^.\n]{0,20}(?:here|"
    r"by that name|with"
    r" that name)|no mailbox by that|not our customer|not a customer|bad destination (?:mailbox|host|system)|"
    r"no longer (?:valid|available|active|with us|in use|exists|employed|works|on server|receiv\w+|accepts? (?:e-?)?mail)|"
    r"(?:disabled or|been) discontinued|550[^\n]{0,60}[ \n]+mailbox unavailable|action not taken:\s+mailbox "
    r"unavailable|host (?:name )?(?:is )?unknown|unknown host|host [\w.-]+ not found|"
    r"domain (?:name )?(?:not found|"
    r"does not exist)|name or service not known|host or domain name not found|nxdomain|"
    r"(?:unrouteable|unroutable|undeliverable) (?:mail )?(?:address|domain)|"
    r"not a member of (?:this |the )?domain|(?:address|user|account|"
    r"mailbox) has (?:moved|changed)|"
    r"(?:account|user|mailbox|address|recipient)[^.\n]{0,20} may not exist|no such domain|"
    r"unknown or illegal|not (?:a|an) (?:local|active) (?:user|mailbox)|no mx record|"
    r"mx records? point\w* to non-?exist|couldn['’]t find any host|couldn['’]t find a mail exchanger|"
    r"no (?:valid )?(?:recipients?|mailbox) (?:with|found|by) (?:this|that|here)|null mx|"
    r"check (?:if|that|whether) (?:the )?(?:e-?mail )?address is correct|"
    r"does not accept mail|"
    # qmail and qpsmtpd keep lists of recipients by these names
    r"badrcptto|validrcptto|vdeliver: invalid|"
    # RFC 5321 3.4: 551 tells where somebody has moved, X.1.6
    r"user not local|not our user|has been replaced by|"
    # gone for good, said of the account or of the person
    r"(?:account|mailbox|user)(?: (?:that )?you (?:tried|were trying|are trying) to reach| \S{1,80})? "
    r"(?:has been|is) (?:permanently )?(?:deleted|removed|terminated|closed|"
    r"cancell?ed)|(?:account|mailbox) (?:closed|deleted|terminated)\b|"
    r"has left the (?:company|organi[sz]ation|firm)|no longer (?:an employee|an? (?:active|valid)|employed|"
    r"with (?:the|this|our) (?:company|organi[sz]ation|firm))|"
    r"(?:address|recipient|mailbox) (?:is )?(?:invalid|unknown|not present)|addresses were unknown|"
    r"\b(?:invalid|illegal|bad)[ _](?:e-?mail )?(?:address|user|mailbox|recipient)\b|"
    r"not an? (?:active|local|known) (?:address|account|recipient)|(?:recipient|address) is not local|"
    r"no mail ?box (?:found|available|here)|(?:no one|nobody) (?:here )?(?:at|by|with) (?:this|that)|"
    # a directory that is asked for near matches
    r"did(?:n['’]t| not) (?:exactly )?match an?y?\s[^.]{0,40}(?:address|user|mailbox|recipient)|"
    # the DNS, or a table of routes, knows no way there: RFC 3463 X.1.2, X.4.4. "No route to host" is of a network
    # that may be back tomorrow
    r"\bhost not found|no dns entry|\bno (?:mx|a|dns|mx or a) records?\b|could not find an? (?:route|gateway)|"
    r"recipient (?:address )?domain must exist|"
    r"recipient address rejected: access denied|rec(?:ipient|ip)notfound|archived recipient|"
    r"\b542 [^\n]{0,100}rejected|final e-?mail delivery point|no matches to nameserver|"
    r"adresse? (?:ist |nicht )?(?:unbekannt|ungültig|gefunden)|(?:empfänger|benutzer|postfach|konto)\w*"
    r"[^.\n]{0,40}(?:unbekannt|nicht gefunden|nicht vorhanden)|existiert nicht|n['’]existe pas|"
    r"(?:destinataire|utilisateur|adresse)[^.\n]{0,30}(?:inconnue?|inexistante?|introuvable|invalide)|inconnu|"
    r"n['’]a pas été trouvé|"
    r"(?:usuario|destinatario|direcci[oó]n|buz[oó]n|cuenta)[^.\n]{0,30}(?:desconocid|inexistente|no encontrad|"
    r"no v[aá]lid)|no se (?:ha )?encontr|no existe|non esiste|"
    r"(?:utente|destinatario|casella|indirizzo)[^.\n]{0,30}(?:sconosciut|inesistente|non trovat)|"
    r"(?:usu[aá]rio|destinat[aá]rio|endere[cç]o|caixa|conta)[^.\n]{0,30}(?:desconhecid|inexistente|"
    r"n[aã]o (?:foi )?encontrad)|"
    r"(?:gebruiker|ontvanger|adres|postvak)[^.\n]{0,30}niet gevonden|bestaat niet|"
    r"(?:użytkownik|adresat|adres|skrzynk)\w*[^.\n]{0,30}nieznan|nieznan\w+ (?:użytkownik|adresat|odbiorc)|nie znaleziono|"
    r"нет такого (?:пользователя|адресата)|неизвестн\w+ (?:пользовател|получател|адрес)|не зна(?:йден|ходит)|"
    r"finns inte|okänd mottagare|findes ikke|finnes ikke|ei ole olemassa|tuntematon vastaanottaja|neexistuje|"
    r"neznám\w+ (?:uživatel|příjemce|adres)|nem létezik|ismeretlen (?:címzett|felhasználó)|nu există|"
    r"(?:kullanıcı|alıcı|adres)[^.\n]{0,30}(?:bulunamadı|mevcut değil)|δεν υπάρχει|δεν βρέθηκε|לא קיים|לא נמצא|"
    r"غير موجود|アドレス不明|ユーザー?不明|找不到|查无此人|찾을 수 없|알 수 없는 (?:사용자|수신자)|"
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
    r"spam|junk|(?<!may be )black ?list|block(?:ed|list)|(?<!not )\blisted\b|polic(?:y|ies)|virus|malware|\bspf\b|dkim|"
    r"dmarc|\brbl\b|"
    r"dnsbl|reputation|relay(?:ing)? (?:access )?(?:denied|not)|authenticat|not (?:authori[sz]ed|"
    r"permitted|allowed)|"
    # Tencent answers "Mailbox not found or access denied", MessageLabs "Mailbox unavailable or access denied"
    r"(?<!recipient address rejected: )(?<!mailbox not found or )(?<!mailbox unavailable or )access denied|denied by|"
    r"reverse dns|\brdns\b|invalid ip|banned|prohibited|forbidden|restricted|"
    r"sender (?:address )?(?:rejected|verif|refused)|sender (?:is )?(?:unknown|invalid)|message content|"
    r"content (?:reject|filter)|frequency limited|unsolicited|suspicious|unauthenticated|"
    r"transport\.rules|administrative prohibition|rejected by (?:recipient|policy|header|rule)|"
    r"allowed rcpthosts|mismatch\w* client ip|recipient preferences|media error|protocol violation|(?:un\w+|"
    r"invalid) sender|"
    # the sender's own name, host or domain isn't known to the recipient's server
    r"(?:sender(?:['’]s)?|sending|return[- ]path|mail from) (?:e-?mail )?domain|"
    r"your domain (?:does|has|is|must)|domain of (?:the )?sender|"
    # a relay that wants its user to sign in (RFC 4954)
    r"credentials|password|"
    r"\b(?:helo|ehlo)\b|client host|your (?:host ?name|ip)\b",
    re.I,
)
