"""How people ask to be left alone, language by language, and what only looks like it."""

from __future__ import annotations

import re

__all__ = ["BARE_STOP", "asks_to_stop"]

_MAX_TEXT = 10_000

# What one is taken off: a sender's list, never a single thread, process or shortlist.
_LIST = (
    r"(?:(?:all|any|each|every|of|your|the|this|that|these|those|our|any|further|future)\s+){0,3}(?:[\w'’/-]+\s+){0,2}?"
    r"(?:list\w*|data ?bases?|mailings?|systems?|records?|crm|files?|contacts?|distribution|subscriptions?|e-?mails?|"
    r"campaigns?|sequences?|outreach|newsletters?|books?|spam|servers?|communications?|messages|talent pool|here)\b|"
    r"(?:this|these|it|everything|here|there|yours?)\s*(?:$|[,.!?:;-]|please|now|asap|at once|immediately|thank)"
)
_MINE = (
    r"my (?:(?:personal|contact|private|e-?mail|candidate|whole|entire|work|own) ){0,2}(?:e-?mails?|address\w*|names?|"
    r"details|data|info\w*|contacts?|records?|profile|number|account)\b"
)
# Words that make "don't write to me" a wish about the way, the place or the time.
_OTHERWISE = (
    r"(?!\s+(?:the|a|an|at|on|before|until|till|via|by|during|through|there|here|this|after|with|tomorrow|today|"
    r"next|over|back|"
    r"off|about (?:this|that|the))\b)"
)
_EN = rf"""
\b(?:remove|delete|erase|unsubscribe|purge)\s+(?:me|us)\b(?!\s+(?:from|off|out of)\s+(?!{_LIST}))(?!\s+(?:a|an|to|as|
    in|with)\b)
\b(?:take|drop|strike|scratch|get|keep)\s+(?:me|us|{_MINE})\s+(?:off|from|out of)\s+(?:{_LIST})
\b(?:remove|delete|erase|purge|wipe|destroy|forget|lose)\s+(?:all\s+(?:of\s+)?)?{_MINE}(?!\s+(?:from|off|
    out of)\s+(?!{_LIST}))(?!\s+(?:in|to|with)\b)
\b(?:remove|delete|erase|purge|destroy)\s+(?:all\s+|any\s+|every\s+)?(?:of\s+)?(?:the\s+|your\s+|my\s+)?(?:personal\s+)?(?:data|
    information|details|records?)\b[^.!?]{{0,20}}\b(?:about|on|of|concerning)\s+me\b
\b(?:erasure|deletion|removal)\s+of\s+(?:all\s+(?:of\s+)?)?{_MINE}
\bunsubscribe\s+my\b
\b(?:please|pls|plz|kindly)\s+(?:opt[- ]?out|unsubscribe)\b(?!\s+from\s+(?!{_LIST}))
\b(?:want|like|wish|need|choose|prefer|ask|request)\s+to\s+(?:opt[- ]?out|unsubscribe|be\s+(?:removed|deleted|
    unsubscribed|taken off))\b(?!\s+(?:from|of|off)\s+(?!{_LIST}))
\bopt\s+me\s+out\b
\b(?:stop|quit|cease|discontinue|refrain from|desist from)\s+(?:(?:all|any|the|these|those|this|further|your|future|
    with|of)\s+){{0,3}}(?:e-?mailing|contacting|writing|messaging|mailing|spamming|spam|reaching out|harassing|
    bothering|pestering|sending (?:me|us|these|this|e-?mails|mails|messages|spam)|e-?mails|messages|mails|mailings|
    communications?|correspondence|contact)\b(?!\s+(?:at|on|via|by|before|until|him|her|them|people|my\s+(?:colleague|boss|
    manager|wife|husband|team|company|friend|assistant|former)\w*|our\s+\w+)\b)
\b(?:do not|don['’]?t|never|not to|(?:did|would) not)\s+(?:ever\s+|please\s+)?(?:e-?mail|contact|message|spam|mail|
    text|bother|harass|pester|write(?:\s+to)?|reach\s+out\s+to)\s+(?:me|us)\b{_OTHERWISE}
\b(?:do not|don['’]?t|never|not to)\s+(?:ever\s+)?(?:send|write)(?:\s+to)?\s+(?:me|us)\s+(?:again|e-?mails?|mails?|
    messages|anything|any\s?more|(?:(?:any|more|further|these|such|unsolicited|your)\s+){{1,3}}(?:e-?mails?|mails?|
    messages?|offers?|spam|things?|stuff|mailings?|jobs?|solicitations?))\b
\b(?:do not|don['’]?t|never)\s+(?:e-?mail|contact|write|message)\s+(?:again|any\s?more)\b
\bno\s+(?:more|further|additional)\s+(?:e-?mails?|messages?|mails?|contact|communications?|spam|mailings?|
    solicitations?)\b
\b(?:not|n['’]t|dont|never|no longer)\s+(?:wish|want|care|like|agree|consent|expect)\s+(?:to\s+|
    you\s+to\s+)?(?:receiv\w+|get|getting|see|any)\b[^.!?]{{0,30}}\b(?:e-?mails?|messages?|mails?|mailings?|
    communications?|correspondence|anything|spam)\b
\b(?:not|n['’]t|dont|never|no longer)\s+(?:wish|want|like|agree|consent)\s+(?:to\s+)?(?:be\s+(?:contacted|e-?mailed|
    messaged|approached)|hear\s+from\s+you)\b{_OTHERWISE}
\b(?:i(?:['’]ve| have| am|['’]m)\s+(?:just\s+|already\s+)?)?(?:reported|reporting|flagged|marked)\s+(?:you|your|this|
    it)\b[^.!?]{{0,25}}\bspam\b
^\W*(?:this|that|it)\s+is\s+(?:just\s+|pure\s+|plain\s+|clearly\s+)?(?:spam|harassment)\b(?!\s+(?:filter|folder|box))
\b(?:lawyer|attorney|solicitor|legal action|sue you|report you)\b[^.!?]{{0,40}}\bif\s+you\s+(?:write|e-?mail|contact|
    message)\b
\bif\s+you\s+(?:write|e-?mail|contact|message)\b[^.!?]{{0,30}}\b(?:lawyer|attorney|solicitor|legal action|sue you|
    report you)\b
\b(?:take|get)\s+(?:me|us)\s+off\s*(?:$|[,.!])
\bleave\s+(?:me|us)\s+alone\b
^\W*(?:please\s+|kindly\s+)?desist\b
\bforget\s+(?:that\s+)?i\s+exist\b
\b(?:withdraw|revoke)\s+(?:my|any)\s+consent\b
\b(?:do not|don['’]?t|never)\s+(?:consent|agree)\s+to\s+(?:\w+\s+){{0,2}}(?:e-?mails?|messages?|mails?|contact\w*)\b
\b(?:stop|enough)\s+(?:it\s+)?with\s+(?:\w+\s+){{0,2}}(?:e-?mails?|messages|mails|spam)\b
\b(?:invoke|exercise|exercising|invoking)\s+my\s+right\b[^.!?]{{0,30}}\b(?:forgotten|erasure|object|17|21)\b
\bi\s+(?:hereby\s+)?object\s+to\s+(?:the\s+|any\s+|further\s+|you\w*\s+)*(?:processing|contact\w*|direct marketing)\b
"""
_DE_MINE = (
    r"meine[nr]?\s+(?:\w+\s+)?(?:daten|e-?mail\w*|mail\w*|adresse\w*|kontakt\w*|namen?|angaben|profil)\b"
)
_DE_LIST = r"(?:verteiler\w*|liste\w*|datenbank\w*|kartei|system\w*|mailing\w*|\w*adressbuch)\b"
_DE = rf"""
\b(?:löscht?|löschen|entfernen?|entfernt|streichen?|streicht)\b(?:\s+sie)?(?:\s+(?:bitte|doch|umgehend|sofort|mir|
    alle|sämtliche)){{0,2}}\s+(?:(?:mich|uns)\b(?!\s+(?:\w+\s+)?aus\s+(?!\S+\s+{_DE_LIST}))|{_DE_MINE})
\b(?:(?:mich|uns)\b|{_DE_MINE})(?:\s+\w+){{0,6}}?\s+(?:zu\s+)?(?:aus(?:zu)?tragen|löschen|entfernen)\b
\b(?:(?:mich|uns)\b|{_DE_MINE})[^.!?]{{0,20}}\b(?:aus|von)\s+(?:\w+\s+){{1,2}}{_DE_LIST}
\baus\s+(?:ihre[mr]|dem|der|eure[mr])\s+{_DE_LIST}[^.!?]{{0,15}}\b(?:nehmen|streichen|löschen|entfernen|austragen)
\blöschung\s+(?:meiner|aller|sämtlicher|all\s+meiner)\s+(?:\w+\s+)?(?:daten|angaben|e-?mail\w*|adresse|kontaktdaten)
\b(?:trag(?:en\s+sie|t)\s+(?:mich|uns)\s+(?:bitte\s+)?aus|meld(?:en\s+sie|et?)\s+(?:mich|uns)\s+(?:bitte\s+)?ab)\b
^\W*(?:bitte\s+)?nicht\s+mehr\s+(?:an)?schreiben\b
\bbitte\s+(?:abmelden|austragen)\b
\b(?:hör\w*\s+(?:sie\s+)?(?:bitte\s+|endlich\s+)?(?:damit\s+)?auf|unterlass\w*|unterlassen\s+sie|stoppen\s+sie|
    stellen\s+sie)\b[^.!?]{{0,30}}(?:schreiben|mailen|mails?\b|kontakt|nachrichten|belästig)
\bkeine?\s+(?:weiteren?\s+)(?:e-?)?(?:mails?|nachrichten?|kontakt\w*|anfragen|zuschriften|werbung|schreiben)\b
\bkeine?\s+(?:e-?)?(?:mails?|nachrichten|anfragen|werbung|zuschriften)\s+mehr\b
\b(?:schreib\w*|kontaktier\w*|mail\w*)\s+(?:sie\s+)?(?:bitte\s+)?(?:mir|mich|uns)\s+(?:bitte\s+)?(?:nicht\s+(?:mehr|
    wieder|weiter|nochmals?)|nie\s+(?:mehr|wieder)|nicht\s*(?:$|[,.!;]))
\b(?:mir|mich|uns)\s+(?:\w+\s+){{0,2}}(?:nicht|nie)\s+(?:mehr|wieder|weiter|länger)\s+(?:\w+\s+)?(?:zu\s+)?(?:schreib|
    kontakt|an(?:zu)?schreib|mail|belästig)
\bnicht\s+mehr\s+(?:zu\s+)?(?:kontaktier|an(?:zu)?schreib|belästig)\w*
\bkontaktieren\s+sie\s+(?:mich|uns)\s+nicht\b
\blass(?:en|t)?\s+(?:sie\s+)?(?:mich|uns)\s+(?:bitte\s+|endlich\s+)?in\s+ruhe
\bwiderspreche\b[^.!?]{{0,40}}(?:verarbeitung|nutzung|speicherung|kontakt|werbung|daten)
\bwiderrufe\s+meine\s+(?:einwilligung|zustimmung)
"""
_ROMANCE = r"""
\bdésinscri(?:re|vez|ption)|désabonne[rz]
\b(?:arrête[rz]?|cesse[rz]?|stoppe[rz]?)\b[^.!?]{0,25}\b(?:écrire|contacter|envoyer|envois?|e-?mails?|courriels?|
    messages|spammer|solliciter|harceler|relancer)\b
\b(?:supprim(?:er|ez|e)|efface[rz]?|retire[rz]?|enleve[rz]|enlève[rz]?|radie[rz]?|raye[rz]?|suppression|
    effacement)\b[^.!?]{0,25}\b(?:mes (?:\w+ )?(?:données|coordonnées|infos?|informations)|mon (?:adresse|e-?mail|
    mail|nom|contact|profil))\b
\b(?:supprime[rz]?|efface[rz]?|retire[rz]?|enlève[rz]?|enlevez|radie[rz]?)[- ](?:moi|nous)\b(?!\s+(?:de|du|
    des)\s+(?:\w+\s+)?(?:processus|conversation|fil|boucle|copie|échange|discussion))
\b(?:me|m['’]|nous)\s?(?:supprimer|effacer|retirer|enlever|radier|rayer)\s+de\b(?!\s+(?:\w+\s+)?(?:processus|conversation|fil|
    boucle|copie|échange|discussion))
\b(?:ne|n['’])\s*(?:souhait\w+|veu\w+|désir\w+|voudr\w+)\s+plus\b[^.!?]{0,25}\b(?:recevoir|être (?:contacté|sollicité|
    démarché))
\b(?:ne|n['’])\s*(?:souhait\w+|veu\w+|désir\w+)\s+pas\b[^.!?]{0,10}\b(?:recevoir (?:de|vos|ces)|être (?:contacté|
    sollicité|démarché))
\bne\s+(?:me|m['’]|nous)\s?(?:plus )?(?:contacte[rz]?|écri(?:re|vez|s)|envoye[rz]|envoie|sollicite[rz])\s+plus\b
\bne\s+plus\s+(?:me |m['’]|nous )(?:contacter|écrire|envoyer|solliciter|relancer)\b(?!\s+d['’]articles?)
^\W*(?:merci,?\s+|svp,?\s+)?plus\s+(?:aucun|de)\s+(?:e-?mails?|mails?|messages?|courriels?)\b
\blaissez[- ](?:moi|nous)\s+tranquille
\b(?:mon|exerce\w*)\b[^.!?]{0,12}\bdroit\s+(?:à l['’](?:effacement|oubli)|d['’]opposition)
\bm['’]oppose\s+(?:à|au)\b[^.!?]{0,20}(?:traitement|prospection|utilisation)
\bd(?:ar(?:me|nos)?|ame|[eé]n?(?:me|nos))\s+de\s+baja|\bbaja\s+de\s+(?:mis datos|mi (?:correo|e-?mail|dirección|suscripción)|
    su lista)
\b(?:deje?n?|deja|dejad|pare?n?|para|cese?n?|basta)\s+(?:ya\s+)?de\s+(?:me\s+)?(?:enviar|mandar|escribir|contactar|
    molestar)\w*
\b(?:elim[ií]n[ae]n?me|elimíne(?:n)?me|b[oó]rr[ae]n?me|b[oó]rren?me|quít[ae]n?me|quítenme|sáquen?me|sácame|
    retír[ae]n?me|suprím[ae]n?me)\b(?!\s+(?:de|del)\s+(?:\w+\s+)?(?:proceso|conversación|hilo|copia))
\b(?:elimin\w+|borr\w+|suprim\w+|supresión|quit\w+|cancel\w+)\s+(?:de\s+)?(?:todos\s+)?(?:mis\s+(?:datos|contactos)|
    mi\s+(?:correo|e-?mail|dirección|direccion|información|nombre|contacto|perfil))\b
\bno\s+(?:me|nos)\s+(?:contacte|escriba|envíe|envie|mande|moleste|contactes|escribas|envíes|mandes)\w*\s+(?:más|mas|
    nunca|de nuevo)\b
\bno\s+(?:me|nos)\s+vuelv\w+\s+a\s+(?:contactar|escribir|enviar|mandar|molestar)
\bno\s+(?:quiero|deseo|quisiera)\s+(?:más\s+|seguir\s+)?(?:recibir\b(?!\s+(?:un[oa]?|el|la)\b)|que\s+me\s+(?:contact|
    escrib|enví|mand)\w+)
^\W*(?:por favor,?\s+)?no\s+más\s+(?:correos|mensajes|e-?mails|mails)\b
\bderecho\s+(?:de|al?)\s+(?:supresión|oposición|cancelación|olvido)\b
\bcancella(?:temi|mi|teci|ci)\b|\bcancellare\s+la\s+mia\s+iscrizione|\bdisiscriv\w+
\b(?:rimuov(?:imi|etemi|ermi|eteci|erci)|toglie(?:temi|rmi|teci|rci)|toglimi|elimina(?:temi|mi|rmi|teci|rci)|
    cancellar[mc]i)\b(?!\s+(?:dal|dalla|
    da)\s+(?:\w+\s+)?(?:processo|conversazione|selezione|copia|thread))
\b(?:cancell\w+|elimin\w+|rimuov\w+|rimozione|toglie\w*)\s+(?:tutti\s+)?(?:i\s+|dei\s+)?(?:miei\s+(?:\w+\s+)?dati|
    (?:il\s+|del\s+)?mio\s+(?:nome|indirizzo|contatto|profilo)|(?:la\s+|della\s+)?mia\s+(?:e-?mail|mail|iscrizione))\b
\b(?:smett\w+|cess\w+|basta)\s+(?:di\s+|con\s+)?(?:\w+\s+)?(?:scriver\w*|contattar\w*|inviar\w*|mandar\w*|e-?mail|
    messaggi)\b
\bnon\s+(?:contatta(?:te)?[mc]i|contattar[mc]i|scrive(?:te|r)[mc]i|[mc]i\s+(?:contatt|scriv|invi|mand)\w+|inviate[mc]i|
    mandate[mc]i)\s+(?:\w+\s+)?più\b
\bnon\s+(?:voglio|desidero|vorrei|intendo)\s+(?:più\s+)?(?:ricevere|essere\s+contattat)
\blasciatemi\s+in\s+pace|\bdiritto\s+(?:all['’]oblio|di\s+opposizione|alla\s+cancellazione)
\bdescadastr\w+|\bcancelar\s+(?:a\s+)?(?:minha\s+)?(?:inscrição|subscrição)
\b(?:par[ae]m?|deix[ae]m?|cess[ae]m?)\s+de\s+(?:me\s+)?(?:enviar|mandar|escrever|contactar|contatar|incomodar)
\b(?:me|nos)\s+(?:remov[ae]m?|tir[ae]m?|retir[ae]m?|exclu[aiem]+|apag(?:a|uem?)|delet[ae]m?)\b[^.!?]{0,12}(?:lista|base|
    cadastro|banco|mailing|sistema)
\b(?:remov[ae]m?|tir[ae]m?|retir[ae]m?|exclua?m?)-me\b(?!\s+(?:do|da|deste|desta)\s+(?:processo|conversa|cópia))
\b(?:remov\w+|tir[ae]\w*|retir\w+|exclu\w+|apag\w+|elimin\w+|delet\w+)\s+(?:todos\s+)?(?:o\s+|os\s+|
    a\s+)?(?:meus?\s+(?:dados|e-?mail|endereço|contato|contacto|nome|cadastro|registro)|minhas?\s+(?:informações|
    conta|inscrição))\b
\bnão\s+(?:me\s+|nos\s+)?(?:contacte|contate|escreva|envie|mande|incomode)\w*(?:-me)?\s+mais
\bnão\s+(?:quero|desejo|pretendo|gostaria\s+de)\s+(?:mais\s+)?(?:receber|ser\s+conta(?:c)?tad)
\bdireito\s+(?:ao\s+esquecimento|de\s+oposição|ao\s+apagamento)
\b(?:șterge|sterge|elimina|scoate)\S{0,3}-?(?:ți|ti)?-?mă\b|\bmă\s+(?:\w+\s+)?(?:șterge|sterge|scoate|elimina|
    dezabona)\w+
\b(?:șterge|sterge|elimina|scoate)\w*\s+(?:datele|adresa|numele)\s+(?:mele|mea|meu)
\bdezabona(?:ți|re|ti)|\bnu\s+(?:îmi|imi|mă|ma|ne)\s+(?:mai\s+)(?:scri|contact|trimit|deranja)\w+|
    \bnu\s+(?:mai\s+)(?:vreau|doresc)\s+să\s+(?:primesc|fiu)
"""
_GERMANIC = r"""
\b(?:uitschrijven|afmelden)\s*(?:$|[,.!]|graag|aub|a\.u\.b|alstublieft|svp|van|voor|uit)|\bschrijf\s+(?:mij|
    me)\s+uit\b|\bwil\s+(?:me|mij)\s+(?:uitschrijven|afmelden)
\bstopt?\s+(?:a\.?u\.?b\.?\s+|alstublieft\s+|alsjeblieft\s+)?met\s+(?:\w+\s+){0,3}?(?:mail\w*|schrijven|contact\w*|
    sturen|benaderen|berichten|spammen)
\b(?:verwijder\w*|schrap|wis)\s+(?:\w+\s+)?(?:mij\b|me\b|ons\b|mijn\s+(?:\w+\s+)?(?:gegevens|e-?mail\w*|adres\w*|naam|
    mailadres|profiel))(?!\s+uit\s+(?:\w+\s+)?(?:gesprek|proces|procedure|cc))
\bhaal\s+(?:mij|me|ons|mijn\s+\w+)\s+(?:\w+\s+)?(?:van|uit)\s+(?:\w+\s+)?(?:lijst\w*|mailinglijst|database|bestand|
    systeem|mailing)|\b(?:mij|me|ons)\s+(?:van|uit)\s+(?:\w+\s+)?(?:lijst\w*|mailinglijst|database|bestand|systeem|
    mailing)\s+(?:halen|verwijderen|schrappen)
\bgeen\s+(?:verdere\s+)?(?:e-?)?(?:mails?|berichten|e-mail)\s+meer\b(?!\s+over\b)
\b(?:niet|geen)\b[^.!?]{0,30}\b(?:meer|langer)\s+(?:te\s+)?(?:ontvangen|mailen|contacteren|benaderen|benaderd|
    schrijven)
\b(?:mail|contacteer|schrijf|benader|stuur)\s+(?:mij|me|ons)\s+(?:alsjeblieft\s+|a\.?u\.?b\.?\s+)?niet\s+(?:meer|opnieuw|
    langer)\b
\blaat\s+(?:me|mij|ons)\s+met\s+rust|\brecht\s+op\s+(?:vergetelheid|verwijdering|gegevenswissing)
\b(?:sluta|slut|slutt|stopp?|hold\s+op|upphör|lad?\s+være)\s+(?:\w+\s+)?(?:med\s+)?(?:att\s+|at\s+|å\s+)?(?:kontakta|kontakte|
    maila|maile|mejla|skriv[ea]|sende?(?!ing)|skicka)\w*
\b(?:ta\s+bort|radera|slet(?:te?)?|fjerne?|stryk|avregistrera|afmelde?|avmelde?)\s+(?:venligst\s+|gärna\s+|
    vänligen\s+)?(?:mig\b|meg\b|oss\b|os\b|(?:alla\s+|alle\s+)?min[ea]?\s+(?:\w+\s+)?(?:uppgifter|data|adresse?|e-?post\w*|
    mail\w*|oplysninger|opplysninger|navn|namn|e-postadress\w*))(?!\s+(?:från|fra)\s+(?:\w+\s+)?(?:tråd\w*|process\w*|
    samtal\w*))
\bavregistrera\b
\b(?:inga|ingen|ikke|inte|aldrig)\b[^.!?]{0,15}\b(?:fler|flere|mer|mere)\s+(?:mail|mejl|e-?post|meddelanden|beskeder|
    meldinger|henvendelser)\w*
\b(?:vill|ønsker|vil)\s+(?:inte|ikke)\b[^.!?]{0,15}\b(?:bli\s+kontakt|blive\s+kontakt|bli\s+kontakta|få\s+(?:fler|
    flere|mer)|ha\s+(?:fler|mer)|motta|modtage)\w*
\b(?:kontakta|kontakt|skriv\s+till?|maila|mejla)\s+(?:mig|meg|oss|os)\s+(?:ikke|inte|aldrig)\b|
    \bikke\s+kontakt\s+(?:meg|oss)\b|\b(?:ikke|inte)\s+(?:at\s+|att\s+|å\s+)?(?:skrive?|skriva|kontakte?|kontakta|
    maile|mejla|maila)\s+(?:till?\s+)?(?:mig|meg|oss|os)\s+(?:igen|igjen|mer|mere|flere gange)\b
\bpoista(?:kaa)?\s+(?:\w+\s+)?(?:minut|tietoni|osoitteeni|sähköposti\w*)|\b(?:minut|tietoni|
    osoitteeni)\s+(?:\w+\s+){0,2}?poist\w+
\blopett?a\w*\s+(?:\w+\s+){0,2}?(?:lähett|viesti|yhteyden|sähköposti)\w*|\bäl(?:ä|kää)\b[^.!?]{0,30}\benää\b
\b(?:iratkoz(?:tass|zon|zatok)\s+le|leiratkoz\w+)|\btöröl(?:jenek|jön|jetek|j)\b[^.!?]{0,20}(?:list|adatb|rendszer)|
    \btörölj\w*\s+(?:az\s+)?(?:adataim|címem|e-?mail)|\badataim\w*\b[^.!?]{0,20}\btöröl
\bne\s+(?:írj(?:on|anak|atok)|küldj(?:ön|enek|etek)|keress\w+)\s+(?:\w+\s+){0,2}?(?:többet|többé)
"""
_SLAVIC = r"""
\b(?:usuń(?:cie)?|usunąć|usunięci[ea]|wykreśl\w*|skasuj\w*|skasować|wypisz|wypisać|wypiszcie)\b[^.!?]{0,15}\b(?:mnie|nas|
    moje\s+(?:\w+\s+)?dane|moich|mój\s+(?:adres|e-?mail|mail)|mojego\s+(?:adresu|maila|e-?maila))\b
\b(?:mnie|moje\s+dane|mój\s+adres)\s+(?:\w+\s+){0,2}?(?:usunąć|wykreślić|wypisać|skasować)
\b(?:wypisz|wypisać)\s*(?:$|[,.!])
\bnie\s+(?:pisz(?:cie)?|pisać|wysyłaj\w*|wysyłać|przysyłaj\w*|kontaktuj\w*|kontaktować)\b[^.!?]{0,15}\b(?:więcej|
    do\s+mnie|ze\s+mną|mnie|mi)\b
\bwięcej\s+(?:do\s+mnie\s+|mi\s+)?nie\s+(?:pisać|pisz(?:cie)?|wysyłać|kontaktować)
\b(?:do\s+mnie|ze\s+mną|mi)\s+(?:\w+\s+){0,2}?nie\s+(?:\w+\s+)?(?:pisać|pisz(?:cie)?|wysyłać|kontaktować)
\bprzesta(?:ń\w*|ć)\b[^.!?]{0,15}\b(?:pisać|wysyłać|kontaktować|spamować)
\bnie\s+(?:chcę|życzę\s+sobie)\b[^.!?]{0,20}\b(?:otrzymywać|dostawać|kontaktu|wiadomości|maili)
\b(?:wnoszę|zgłaszam|wyrażam)\s+sprzeciw|\bprawo?\s+do\s+(?:bycia\s+zapomnianym|usunięcia\s+danych)
\b(?:отписаться|отпишите)\b
\b(?:удалите|удали|уберите|исключите|вычеркните|удалить|удаления|удаление)\b[^.!?]{0,15}\b(?:меня|нас|
    мои[хе]?\s+(?:\w+\s+)?(?:данн\w+|контакт\w+)|мой\s+(?:адрес|e-?mail|имейл|контакт)|мою\s+почту|
    персональн\w+ данн\w+)(?!\s+из\s+(?:\w+\s+)?(?:переписк|цепочк|процесс|копи))
\b(?:меня|мои\s+(?:\w+\s+)?данные|мой\s+адрес)\s+(?:\w+\s+){0,2}?(?:удалите|уберите|исключите|вычеркните|удалить)
\b(?:прекратите|перестаньте|хватит|прекрати|перестань)\s+(?:\w+\s+){0,3}?(?:писать|присылать|слать|отправлять|
    беспокоить|спамить|рассылк\w+)
\bне\s+(?:надо\s+|нужно\s+)?(?:мне\s+|меня\s+|нам\s+)?(?:больше\s+)?(?:мне\s+|меня\s+|нам\s+)?(?:пишите|писать|
    присылайте|беспокойте|шлите|отправляйте)\s*(?:(?:мне|меня|нам|нас)(?!\s+(?:про|о|об)\b)|больше|пожалуйста|$|[,.!])
\bбольше\s+(?:\w+\s+){0,2}?не\s+(?:пишите|присылайте|беспокойте|шлите|отправляйте|связывайтесь|пиши)
\bне\s+(?:хочу|желаю)\s+(?:больше\s+)?(?:получать|чтобы\s+мне\s+писали)
\b(?:видаліть|приберіть|вилучіть|видалити)\b[^.!?]{0,15}\b(?:мене|мої\s+(?:\w+\s+)?дані|мою\s+адресу)|\b(?:не|
    більше)\s+(?:\w+\s+){0,2}?(?:пишіть|надсилайте|турбуйте)\s*(?:мені|мене|більше|$|[,.!])|
    \bприпиніть\s+(?:\w+\s+){0,2}?(?:писати|надсилати)
\bodhlaste\s+(?:mě|ma)\b
\b(?:vyřaď\w*|vymaž\w*|odstraň\w*|odstráň\w*|smaž\w*|vyrad\w*)\s+(?:prosím\s+)?(?:mě|mne|ma|mňa|moje|mé|můj|
    môj)\b(?!\s+z\s+(?:\w+\s+)?(?:konverzac|proces|výběr))
\b(?:už\s+)?(?:mi|mě|ma|mne)\s+(?:\w+\s+){0,2}?ne(?:pište|píšte|kontaktujte|posílejte|posielajte|otravujte)|
    \bne(?:pište|píšte|kontaktujte|posílejte|posielajte)\s+(?:mi|mě|mne|ma)\b
\b(?:přestaňte|prestaňte)\s+(?:\w+\s+){0,2}?(?:psát|písať|posílat|posielať|kontaktovat)|
    \bnechci\s+(?:\w+\s+){0,2}?(?:dostávat|být\s+kontakt)
"""
_OTHERS = r"""
\b(?:beni|verilerimi|bilgilerimi|adresimi|e-?postamı|kaydımı|mailimi)\s+(?:\w+\s+){0,3}?(?:çıkar|sil|kaldır)\w*
\b(?:listeden|listenizden|abonelikten)\s+(?:çıkmak|ayrılmak)
\b(?:bana|bize)\s+(?:\w+\s+){0,3}?(?:yazma|gönderme|e-?posta\s+atma|mail\s+atma|ulaşma)(?:yın|yin|yınız|yiniz)?\b
\b(?:e-?posta|mail|mesaj)\w*\s+(?:\w+\s+){0,2}?(?:almak\s+istem|göndermeyin|istemiyorum)|\brahatsız\s+etmeyin
(?:διαγράψτε|διέγραψε|αφαιρέστε|σβήστε|βγάλτε)\s+(?:με\b|τα\s+\w+\s+μου|τη\w*\s+διεύθυνσή\s+μου)|
    διαγραφή\s+των\s+\w+\s+μου|\bμην?\s+(?:μου\s+|με\s+)?(?:ξανα)?(?:στείλ|στέλν|γράφ|γράψ|επικοινων|ενοχλ)\w*|
    σταματήστε\s+να\s+(?:μου|με)
(?:הסר|הסירו|תסיר\w*|להסיר|מחק\w*|תמחק\w*|הורידו|להוריד)\s[^.!?]{0,12}(?:אותי|שלי)|(?:אל|תפסיק\w*|
    הפסיקו)\s[^.!?]{0,10}(?:תשלח|לשלוח|תכתב|לכתוב|לפנות|תפנ|תיצר)\w*
أزلني|احذفني|احذفوني|إلغاء\s+اشتراكي|(?:احذف|أزل|امسح|حذف|إزالة)\w*\s[^.!?]{0,15}(?:بياناتي|بريدي|عنواني|معلوماتي|
    اسمي)|(?:توقف|كف)\w*\s+عن\s[^.!?]{0,12}(?:مراسل|إرسال|التواصل|الاتصال)|لا\s+(?:تراسل|تتواصل)\w*
(?:把我|将我|將我)[^。！？]{0,15}(?:删除|移除|删掉|去掉|刪除|剔除)|(?:删除|移除|刪除|
    删掉)[^。！？]{0,4}我的(?:个人)?(?:信息|邮箱|资料|数据|地址|個人|資料|郵箱|电子邮件)|我的(?:个人)?(?:信息|邮箱|
    资料|数据)[^。！？]{0,8}(?:删除|移除|删掉)
(?:不要|别|勿|別)(?:再|给我|給我|向我|跟我)[^。！？]{0,8}(?:发|發|寄|联系|聯繫|聯絡|打扰|打擾|写|來信|来信)|(?:不要|
    别|请勿|請勿|別)打(?:扰|擾)|(?:停止|不想再|不希望再|不愿再)[^。！？]{0,8}(?:发|發|收到|接收|联系|聯絡|邮件|郵件|
    打扰)|退订|退訂|取消(?:订阅|訂閱)
(?:今後|もう|これ以上|以後|二度と)[^。]{0,20}(?:メール|連絡|配信|案内|送信)[^。]{0,10}(?:不要|やめ|止め|しないで|
    送らないで|控え|停止|無用|遠慮)|(?:メール|配信|案内)[^。]{0,8}(?:送らないで|送信しないで|やめてくだ|停止|
    (?<!返信は)不要です)|連絡(?:を)?(?:しないで|やめて|お控え)|配信(?:を)?停止|配信不要|登録(?:を)?解除
(?:リスト|名簿|データベース)[^。]{0,8}(?:削除|外して|除外|消して)|(?:私|当方)の[^。]{0,8}(?:情報|データ|アドレス|
    登録)[^。]{0,8}(?:削除|消去|抹消|消して)
수신 ?거부|(?:메일|연락|메시지|문자)\S{0,3}\s?(?:더\s?이상\s?)?(?:보내지|하지)\s?(?:마|말)|(?:명단|목록|
    리스트)에서\s[^.]{0,6}(?:삭제|빼|제외|지워)|제\s[^.]{0,10}(?:정보|이메일|주소|연락처|
    데이터)\S{0,2}\s[^.]{0,6}(?:삭제|지워)
\bđừng\s+(?:\S+\s+){0,3}?(?:gửi|liên\s+hệ|làm\s+phiền|viết)|\b(?:xóa|xoá|gỡ)\s+(?:tôi|(?:email|thông\s+tin|
    dữ\s+liệu)\s+của\s+tôi)|\b(?:jangan|berhenti|stop)\s+(?:\w+\s+)?(?:kirim|mengirim|hubungi|
    menghubungi)\w*\s+(?:saya|email|pesan|lagi)|\bhapus\s+(?:saya|(?:data|email|alamat)\s+saya)|(?:อย่า|หยุด|ไม่ต้อง|
    เลิก)\s?(?:ส่ง|ติดต่อ)|ลบ(?:ข้อมูล|อีเมล|ชื่อ)|ยกเลิกการรับ
(?:\bart(?:icle|ikel|ículo|icolo|igo)?s?\.?|статьи?)\s*(?:17|21)\b[^.!?]{0,25}(?:gdpr|dsgvo|ds-gvo|rgpd|rodo|avg|
    ukgdpr)\b
"""


def _alternatives(*tables: str) -> list[str]:
    return [line for table in tables for line in table.replace("\n    ", "").split("\n") if line]


_WORDED = _alternatives(_EN, _DE, _ROMANCE, _GERMANIC, _SLAVIC)
# Those that begin with a word are tried at words' beginnings alone.
_STOP = (
    re.compile(r"\b(?=\w)(?:" + "|".join(x for x in _WORDED if not x.startswith("^")) + ")", re.I),
    re.compile("|".join([x for x in _WORDED if x.startswith("^")] + _alternatives(_OTHERS)), re.I),
)
# A whole line that asks for nothing else.
BARE_STOP = re.compile(
    r"\W*(?:(?:please|pls|plz|just|kindly|bitte|por favor|merci de|per favore|proszę|prosím|vänligen|venligst)\W+)?"
    r"(?:unsubscribe|stop(?: (?:it|this|that|now|already))?|remove(?: (?:me|my (?:details|data|e-?mail|address)))?|"
    r"delete(?: me)?|abmelden|austragen|löschen|désabonner|supprimer|desuscribir|baja|cancellami|cancellare|descadastrar|"
    r"remover|отписаться|удалите|afmelden|uitschrijven|verwijderen|wypisz|usunąć|odhlásit|optout|opt[- ]out)"
    r"(?:\W+(?:me|please|pls|bitte|thanks|thank you|danke|merci|gracias|grazie|aub|svp|now|immediately))*\W*",
    re.I,
)
# Before the words: a denial, a condition.
_NOT_STOP = re.compile(
    r"(?:don['’]?t|do not|didn['’]?t|did not|not|never|nicht|kein\w*|pas|no quiero|non) (?:want |"
    r"wish |mean |need |going |voglio |möchte )?(?:you )?(?:to )?$|\b(?:if|whether|how|would you|before you|why (?:did|do) "
    r"you|(?:did|have) you|you can|wenn|falls|si)\b[^.\n,]{0,25}$|"
    r"^\W*(?:you|they|people|(?:most |other )?recruiters)\s+$",
    re.I,
)
# Or a report of what somebody does anyhow; "I would like to" is a wish.
_REPORTED = re.compile(
    r"\b(?:i (?:get|got|receive|received|have|had|see|saw|will|['’]ll|would|can|must)|i['’](?:ve|ll)|"
    r"ich (?:habe|hab|bekomme|erhalte|bekam|werde|muss)|(?:reçois|recibo|ricevo|recebo|dostaję|otrzymuję|получаю))\b"
    r"(?!\s+(?:to\s+)?(?:ask|request|like|want|prefer|insist|urge))[^,;.]{0,25}$",
    re.I,
)
_WISH = re.compile(r"(?:want|like|wish|need|choose|prefer|ask|request)\s+to\b", re.I)
# A list's footer tells its readers how to.
_PURPOSE = re.compile(
    r"(?:^|[.,;:–-]\s|\b(?:if|wenn|si) [^.\n]{0,20})\W*(?:to|for|um|zum|zur|pour|para|per|pentru|om|voor|aby|чтобы|для|"
    r"för|for at)\s[^.!?\n]{0,12}$|^\W*$",
    re.I,
)
_TOLD_HOW = re.compile(
    r"\W{0,3}(?:\S+\s){0,4}?(?:please |bitte |s['’]il vous plaît )?(?:send|mail|e-mail|write|click|visit|go to|reply|"
    r"schick\w*|senden|klick\w*|envoye[rz]|écrive[rz]|clique[rz]?|envíe|escriba|haga clic|invia\w*|scriv\w+|clicc\w+|"
    r"envie|stuur|klik|wyślij|kliknij|trimite\w*|отправ\w+|напишите|нажмите|kattint\w*|skicka|klicka)\b[^\n]{0,60}"
    r"(?:$|@|https?:|\b(?:here|hier|ici|aquí|qui|aqui|tutaj|ide|link)\b)",
    re.I,
)
# In the sentence: another way to the same person, or what they stay in.
_ANOTHER_WAY = re.compile(
    r"\b(?:instead|rather|stattdessen|lieber|sondern|plutôt|en su lugar|invece|em vez|in plaats)\b[^.!?\n]{0,40}(?:@|\d{4}|"
    r"\b(?:mobile|phone|private|personal|linkedin|whatsapp|privat\w*|handy|perso\w*|privé)\b)|"
    r"\b(?:use|write to|reach me (?:at|on)|send (?:it|them) to)\b[^.!?\n]{0,40}(?:@|\binstead\b)|"
    r"\band send\b[^.!?\n]{0,40}\binstead\b|"
    r"\bbut\b[^.!?\n]{0,12}\b(?:keep|leave|consider) me\b|\b(?:new one|new (?:number|address)) is\b|"
    r"\b(?:aber|sondern)\b[^.!?\n]{0,30}\b(?:behalten|lassen sie mich)\b|"
    r"\b(?:everything|anything|all) else\b[^.!?\n]{0,10}\b(?:is|are) (?:fine|ok|okay|welcome)\b",
    re.I,
)
# Something else is to stop, by name, and in the same breath there is a yes without a no.
_SOMETHING_ELSE = re.compile(
    r"(?:(?:please|pls|plz|kindly)\s+)?(?:unsubscribe|remove)\s+(?:me|us)\s+from\s+(?:all\s+(?:of\s+)?)?your\s+(?:other|marketing)\s+(?:(?:marketing|mailing|e-?mail|product|company)\s+)?"
    r"(?:newsletters?|mailings?|lists?|campaigns?)\s*[,;:–-]?\s+but\b(?![^.!?\n]*(?:\b(?:not?|never|nothing|neither|nor|"
    r"without|un\w+|stop|remove|delete)\b|n['’]t\b))[^.!?\n]*\b(?:yes|i['’]?m (?:very |definitely )?(?:interested|open)|"
    r"i am (?:very |definitely )?(?:interested|open)|(?:happy|glad) to (?:talk|chat|hear))\b",
    re.I,
)
_LINKED = re.compile(r"[^\n]{0,60}https?://", re.I)
# What a company prints below its people's mail.
_FOOTER = re.compile(
    r"confidentiality notice|\b(?:is|are|be|and|may be|contains?) (?:strictly )?(?:confidential|privileged)|"
    r"intended (?:recipient|solely|only)|if you (?:have |are not )?(?:received|the (?:intended|named))|"
    r"you(?:['’]re| are)? (?:receive|receiving) this|\bour (?:newsletter|mailing|marketing)|vertrauliche informationen|"
    r"irrtümlich|nicht der (?:richtige|vorgesehene) (?:adressat|empfänger)|par erreur|est confidentiel|por error|"
    r"por engano|per errore|(?:click|klick|cliqu|clic|klik|нажмите)\w*[^\n]{0,40}https?://|"
    r"\b(?:hier|here|ici|aquí|qui|aqui)\b\W{0,4}https?://",
    re.I,
)
_WRAPPED = re.compile(r"(?m)^(.{55,})\n(?=\S)")
_QUOTE_MARKS = "\"'“”„«»‘’`"


def asks_to_stop(words: str) -> bool:
    """Whether what a person wrote (quotes and signature taken out before) asks to be left alone."""
    words = words[:_MAX_TEXT].strip()
    lines = [line.strip() for line in words.split("\n") if line.strip()]
    if len(words) <= 160 and any(BARE_STOP.fullmatch(line) for line in lines):
        return True
    blocks = re.split(r"\n[ \t]*\n", words)
    own = [b for n, b in enumerate(blocks) if n == 0 or _FOOTER.search(b) is None]
    return any(_asks(sentence) for block in own for sentence in _sentences(block))


def _sentences(block: str) -> list[str]:
    return re.split(r"(?<=[.!?。！？])\s+|\n", _WRAPPED.sub(r"\1 ", block))


def _asks(sentence: str) -> bool:
    if _ANOTHER_WAY.search(sentence) is not None:
        return False
    for found in (m for pattern in _STOP for m in pattern.finditer(sentence)):
        before, after = sentence[max(0, found.start() - 45) : found.start()], sentence[found.end() :]
        if _NOT_STOP.search(before) is not None or _LINKED.match(after) is not None:
            continue
        if _SOMETHING_ELSE.match(sentence, found.start()) is not None:
            continue
        if _PURPOSE.search(before) is not None and _TOLD_HOW.match(after) is not None:
            continue
        if _REPORTED.search(before) is not None and _WISH.match(found[0]) is None:
            continue
        if before[-1:] in _QUOTE_MARKS and before and after[:1] in _QUOTE_MARKS and after:
            continue  # words that are talked of
        return True
    return False
