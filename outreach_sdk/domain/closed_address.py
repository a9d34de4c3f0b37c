"""Automatic answers that say of the address itself that it is given up: it was no delivery, whoever sends the word."""

from __future__ import annotations

import re

from outreach_sdk.domain.report_parts import addresses

__all__ = ["closed_address"]

_MAX_WORDS = 6_000
_MAX_NAMED = 5
_OWN = "\ue000"
"""Stands for the address that speaks; any other is "@"."""

# (how a language names this address, what it says of one that is given up), nothing of another between them.
# "Not read any more" says less: mail still arrives there.
_SAID: tuple[tuple[str, str], ...] = (
    (
        r"\b(?:(?:this|my|the) (?:e-?mail )?(?:address|mail ?box|inbox)|this account|(?:this|my|the) e-?mail account|"
        r"(?:this|that|which|you(?:['’]ve| have)? (?:reached|written to|used))(?: is| was)? (?:my|an|our) (?:old|former|"
        r"previous) (?:e-?mail )?(?:address|account|mail ?box|inbox)|(?:writing|written|wrote|mailed) to an (?:e-?mail )?"
        r"(?:address|account|mail ?box|inbox))",
        r"\bno longer (?:(?:being |currently )?(?:in use|in service|in operation|used|active|valid|available|"
        r"operational|functional|working)|exists?|works?|functions?)\b|"
        r"\b(?:does not|doesn['’]t) (?:exist|work) any ?(?:more|longer)\b|"
        r"\b(?:has|have) (?:now |already |since |meanwhile )?been (?:now |permanently |officially )?(?:closed|"
        r"deactivated|disabled|discontinued|retired|decommissioned|deleted|terminated|shut down|abandoned)\b|"
        r"\b(?:is|was) (?:now |permanently )?(?:closed|deactivated|discontinued|retired|decommissioned|defunct|"
        r"obsolete|inactive)\b|"
        r"\b(?:is not|isn['’]t) (?:in use|used|active|valid) any ?(?:more|longer)\b",
    ),
    (
        r"\b(?:diese[rs]? (?:e-?mail[- ]?)?(?:mail)?(?:adresse|postfach|mailbox|konto|account)|das (?:e-?mail-?)?postfach|"
        r"meine (?:alte )?(?:e-?mail-?)?adresse)",
        r"\b(?:existiert|besteht|gilt|funktioniert) (?:leider )?nicht (?:mehr|länger)\b|\bist (?:leider |ab sofort )?"
        r"nicht (?:mehr|länger) (?:gültig|aktiv|in (?:gebrauch|betrieb|verwendung|benutzung)|verfügbar|vorhanden)\b|"
        r"\bwird (?:leider )?nicht (?:mehr|länger) (?:verwendet|genutzt|benutzt|betrieben)\b|"
        r"\b(?:ist|wurde)\b(?:[^.\n@]|(?<=\d)\.){0,25}\b(?:geschlossen|deaktiviert|gelöscht|stillgelegt|abgeschaltet|aufgelöst|"
        r"abgemeldet|ungültig|inaktiv)\b",
    ),
    (
        r"\b(?:cette (?:adresse|bo[iî]te)|ce compte (?:mail|e-?mail|de messagerie)|mon adresse (?:mail|e-?mail))",
        r"\bn['’]existe plus\b|\bn['’]est plus (?:utilisée?|active|actif|valide|valable|en service|en fonction|"
        r"fonctionnelle|disponible|attribuée)\b|\bne fonctionne plus\b|\ba été "
        r"(?:définitivement )?(?:désactivée?|fermée?|supprimée?|clôturée?|résiliée?)\b|\best (?:désormais |maintenant )?"
        r"(?:désactivée?|fermée?|supprimée?|clôturée?|inactive|inactif|obsolète|hors service)\b",
    ),
    (
        r"\b(?:est[ae] (?:dirección|cuenta|buzón|casilla|correo)|mi (?:antigua )?dirección de correo)",
        r"\bya no (?:está (?:en uso|activ[oa]|disponible|operativ[oa]|en servicio|vigente|habilitad[oa])|se (?:usa|"
        r"utiliza)|existe|es válid[oa]|funciona)\b|\b(?:ha sido|fue|está|quedó|se encuentra)(?: \w+)? (?:desactivad[oa]|"
        r"deshabilitad[oa]|cancelad[oa]|cerrad[oa]|eliminad[oa]|dad[oa] de baja|inactiv[oa]|suprimid[oa])\b",
    ),
    (
        r"\b(?:questo (?:indirizzo|account)|questa (?:casella|e-?mail)|il (?:mio )?(?:vecchio )?indirizzo e-?mail)",
        r"\bnon (?:è|e['’]) più (?:attiv[oa]|in uso|utilizzat[oa]|valid[oa]|disponibile|operativ[oa]|in funzione)\b|"
        r"\bnon (?:esiste|funziona) più\b|\b(?:è stat[oa]|risulta|è) (?:disattivat[oa]|chius[oa]|eliminat[oa]|"
        r"cancellat[oa]|dismess[oa]|inattiv[oa])\b",
    ),
    (
        r"\b(?:est[ae] (?:endereço|conta|caixa|e-?mail)|o meu (?:antigo )?endereço)",
        r"\bjá não (?:está (?:em uso|ativ[oa]|activ[oa])|existe|é (?:válid[oa]|utilizad[oa]|usad[oa])|funciona)\b|"
        r"\bnão (?:está|é) mais (?:em uso|ativ[oa]|utilizad[oa]|usad[oa]|válid[oa])\b|\bnão (?:existe|funciona) mais\b|"
        r"\b(?:foi|está|encontra-se) (?:desa[ct]{1,2}ivad[oa]|encerrad[oa]|cancelad[oa]|eliminad[oa]|excluíd[oa]|"
        r"inativ[oa])\b|\bdeixou de (?:existir|ser utilizad[oa]|estar ativ[oa])\b",
    ),
    (
        r"\b(?:dit (?:e-?mail[- ]?|mail)?(?:adres|account|postvak)|deze (?:mailbox|inbox|postbus)|mijn (?:oude )?"
        r"(?:e-?mail|mail)adres)",
        r"\bis niet (?:meer|langer) (?:in gebruik|actief|geldig|beschikbaar|in dienst)\b|\bbestaat niet (?:meer|langer)\b|"
        r"\bwordt niet (?:meer|langer) gebruikt\b|\b(?:is|werd) (?:definitief )?(?:gesloten|opgeheven|gedeactiveerd|"
        r"verwijderd|uitgeschakeld|inactief|vervallen)\b",
    ),
    (
        r"\b(?:ten (?:adres|e-?mail)|to konto|ta skrzynka|niniejszy adres)",
        r"\b(?:nie jest już|już nie jest) (?:używan[ya]|aktywn[yea]|obsługiwan[yea]|ważn[ya])\b|\b(?:już nie|nie) (?:już )?"
        r"(?:istnieje|działa)\b|\bzostał[ao]? (?:wyłączon[yea]|zamknięt[yea]|usunięt[yea]|zlikwidowan[yea]|"
        r"dezaktywowan[yea])\b|\bjest (?:nieaktywn[yea]|wyłączon[yea]|zamknięt[yea])\b",
    ),
    (
        r"\b(?:den här (?:e-?post|mejl|mail)?-?(?:adressen|lådan|brevlådan)|denna (?:e-?post|mejl|mail)?-?(?:adress|"
        r"brevlåda)|det här kontot|denne (?:e-?mail|e-?post|mail)?-?(?:adressen?|postkassen?|kontoen|mailboks)|"
        r"dette (?:e-?mail|mail)?-?konto)",
        r"\b(?:används|finns|fungerar|bruges|anvendes|eksisterer|findes|brukes|benyttes|finnes|virker) (?:inte|ikke) "
        r"(?:längre|længere|lenger|mere?)\b|\b(?:är inte längre|er ikke længere|er ikke lenger) (?:aktiv|aktivt|i bruk|"
        r"i brug|giltig|gyldig)\b|\b(?:är|er) (?:stängd|avslutad|inaktiverad|nedlagd|borttagen|lukket|nedlagt|"
        r"deaktiveret|deaktivert|slettet|stengt)\b|\bhar (?:stängts|avslutats|inaktiverats|upphört)\b",
    ),
    (
        r"\btämä (?:sähköposti)?-?(?:osoite|tili|postilaatikko)",
        r"\bei ole enää (?:käytössä|voimassa|aktiivinen|olemassa)\b|\bon (?:suljettu|poistettu)\b",
    ),
    (
        r"\b(?:ta(?:to|hle) (?:e-?mailov[áa] |mailov[áa] )?(?:adresa|schránk[ay])|tento (?:e-?mail|účet))",
        r"\b(?:již|už) ne(?:existuje|funguje|ní|ni|ie je)\b|\bneexistuje\b|\bbyl[ao]? (?:zrušen|deaktivován|uzavřen)\w*|"
        r"\bje (?:zrušen|neaktivní|neaktívn)\w*",
    ),
    (
        r"\bez az? (?:e-?mail[- ]?)?(?:cím|fiók|postafiók)",
        r"\bmár nem (?:él|létezik|használatos|aktív|működik)\b|\bmegszűnt\b",
    ),
    (
        r"\bbu (?:e-?posta|mail) (?:adresi|hesabı|kutusu)",
        r"\bartık (?:kullanılm\w+|geçerli değil|aktif değil|mevcut değil)|\bkapatıl\w+|\bdevre dışı",
    ),
    (
        r"\b(?:această adresă|acest (?:cont|e-?mail))",
        r"\bnu mai (?:este (?:activ|folosit|valabil|utilizat)ă?|există|funcționează)|\ba fost (?:dezactivat|închis|șters)ă?",
    ),
    (
        r"(?:\b(?:этот|данный) (?:почтовый )?(?:ящик|адрес|аккаунт|имейл|e-?mail)|\b(?:эта|данная) (?:почта|"
        r"электронная почта|учетная запись)|\bпочт(?:а|овый ящик)(?= \ue000)|\b(?:ця|дана) (?:пошта|"
        r"(?:електронна )?адреса)|\bцей (?:ящик|імейл))",
        r"\b(?:больше|уже|більше|вже) не (?:используется|существует|действует|работает|обслуживается|активен|активна|"
        r"действителен|використовується|існує|діє|працює)|\bпрекратил\w* (?:свою )?(?:работу|существование)|"
        r"\b(?:закрыт|удал[её]н|отключ[её]н|деактивирован|закрит|видален|вимкнен)\w{0,3}\b|\bне (?:действует|существует|"
        r"используется)\b",
    ),
    (
        r"(?:この|こちらの|当|本)(?:メール)?(?:アドレス|メールボックス|アカウント)",
        r"(?:使用|利用)(?:され|し)て(?:おりません|いません)|(?:使用|利用)(?:でき|され)ません|存在し(?:ません|ておりません)|"
        r"使われて(?:おりません|いません)|(?:廃止|閉鎖|削除|無効と?)(?:いたし|致し|し|され|になり)",
    ),
    (
        r"(?:此|本|该|該|这个|這個)(?:电子|電子)?(?:邮箱|信箱|郵箱|邮件地址|郵件地址|帐户|账号|帳號|帐号)",
        r"(?:已|已经|已經|现已|現已)(?:停用|停止使用|注销|註銷|关闭|關閉|废弃|廢棄|失效|不再使用|不存在|作废)|不再使用",
    ),
    (
        r"(?:이|본|해당) ?(?:전자 ?우편|이?메일)? ?(?:주소|계정|메일함)",
        r"더 ?이상 (?:사용|운영)(?:되|하)지|폐쇄|삭제되|사용(?:이)? 중지|비활성",
    ),
)
_CLOSED = (
    *(re.compile(rf"(?:{named}|{_OWN})[^.\n@]{{0,60}}?(?:{gone})", re.I) for named, gone in _SAID),
    # the other way round
    re.compile(
        r"\b(?:have|has) (?:now |permanently )?(?:closed|deactivated|retired|discontinued|shut down|abandoned) (?:this|my) "
        r"(?:e-?mail )?(?:address|account|mail ?box|inbox)\b|"
        r"\bunter dieser (?:e-?mail-?)?adresse\b[^.\n@]{0,20}\bnicht (?:mehr|länger) (?:erreichbar|zu erreichen)\b",
        re.I,
    ),
)
# A wish, a condition or a plan is no fact; nor is what others should do.
_SUPPOSED = re.compile(
    r"\b(?:if|whether|when|once|unless|in case|until|while|wenn|falls|sobald|sollte|bis|während|cuando|hasta|quand|lorsque|"
    r"jusqu\w*|pendant|quando|als|indien|jeśli|gdy|hvis|dersom|если|когда)\b[^.\n]{0,12}$|\b(?:si|se|om)\W{1,3}$",
    re.I,
)
# An address of theirs beside the one that answers, which may well live.
_FORMER = re.compile(
    r"\b(?:old|former|previous|other|second|alte\w?|frühere\w?|ancienne?|antigu[ao]|vecchi[ao]|oude|gamla|gamle|star[yae]|"
    r"стар\w{2,3})\b[^.\n@]{0,30}$",
    re.I,
)
_NO_REPLY = re.compile(r"(?:no|do-?not)[-_.]?reply|mailer-daemon|postmaster", re.I)
_SENTENCES = re.compile(r"(?<!\d)[.!?]\s+|\n\s*\n|[。！？；;]")
_ADDRESS = re.compile(r"<?\b[^\s@<>()\[\],;:\"']{1,64}@[\w.-]{1,200}\w>?")


def closed_address(words: str, sender: str) -> str | None:
    """The address that `words`, an automatic answer from `sender`, say is given up; None where they say it of none.
    One that isn't named is the sender's. Another one may be named by a neighbour at its domain, as Exchange answers
    from the primary address of an alias."""
    words, sender = words[:_MAX_WORDS].replace(_OWN, " "), sender.lower()
    answers = _NO_REPLY.fullmatch(sender.partition("@")[0]) is None  # what takes no answers means itself
    if sender and any(answers or named for named in _told(words, sender)):
        return sender
    domain = sender.rpartition("@")[2]
    others = [a for a in addresses(words) if a != sender and a.rpartition("@")[2] == domain]
    for other in others[:_MAX_NAMED]:
        if any(_told(words, other)):
            return other
    return None


def _told(words: str, address: str) -> list[bool]:
    """For each sentence that says of an address that it is given up, whether it names `address`."""
    marked = _ADDRESS.sub(lambda m: _OWN if m[0].strip("<>").lower() == address else "@", words)
    found = []
    for sentence in _SENTENCES.split(re.sub(r"(?<!\n)\n(?!\n)", " ", marked)):
        for pattern in _CLOSED:
            hit = pattern.search(sentence)
            if hit is not None and _SUPPOSED.search(sentence[: hit.start()]) is None:
                named = _OWN in hit[0]
                if not named or _FORMER.search(sentence[: sentence.find(_OWN)]) is None:
                    found.append(named)
                break
    return found
