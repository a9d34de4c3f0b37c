"""What candidates write, in the languages recruiters meet, sorted by what it means."""

from __future__ import annotations

import re

__all__ = [
    "ADVERSE",
    "AGREED",
    "COLLEAGUE",
    "INTERESTED",
    "IN_CHARGE",
    "NEGATION",
    "NOT_INTERESTED",
    "NOT_NOW",
    "QUESTION",
    "REFERRING",
    "SUITABLE",
    "WRONG",
]

WRONG = re.compile(
    r"wrong (?:person|address|e-?mail|contact|guy|man|woman|number)|not the (?:right|correct) (?:person|contact|one)|"
    r"mistaken me for|(?:this|that|it) (?:is|was) ?(?:n['’]t| not) (?:me|for me to)\b|i['’]?m not (?:a|"
    r"an) (?:developer|"
    r"engineer|recruiter|candidate)\b|don['’]t know (?:who|why) (?:this|you)|no(?:t| longer) (?:the )?(?:owner|"
    r"holder) of|"
    r"falsche (?:person|adresse)|nicht (?:der|die) richtige (?:person|ansprechpartner\w*)|falschen (?:person|"
    r"adressaten)|"
    r"mauvaise (?:personne|adresse)|pas la bonne (?:personne|adresse)|trompez de personne|"
    r"persona (?:equivocada|incorrecta)|se ha equivocado de|no soy la persona|"
    r"persona sbagliata|non sono la persona giusta|ha sbagliato (?:persona|indirizzo)|"
    r"pessoa errada|não sou a pessoa (?:certa|indicada)|engano de pessoa|"
    r"verkeerde (?:persoon|adres)|niet de juiste persoon|niewłaściwa osoba|pomyłka|nie jestem właściwą osobą|"
    r"не тому (?:человеку|адресату)|ошиблись (?:адресом|человеком)|я не тот|fel person|forkert person|feil person|"
    r"väärä henkilö|人違い|宛先違い|找错人|发错人|認錯人|사람을 잘못|잘못 보내|"
    r"(?:have|got|reached|contacted|e-?mailed) the wrong (?-i:[A-Z])\w+|(?:mail|message|e-?mail|this) (?:was|"
    r"is|must be) (?:probably |clearly |surely )?(?:meant|intended) for (?:someone|somebody|another)|"
    r"nothing to do with (?:software|it\b|this|that|tech|engineering|recruit\w+)|"
    r"not the (?-i:[A-Z])\w+(?: (?-i:[A-Z])\w+)? you|(?:confus\w+|mix\w+) me (?:up )?with|verwechseln sie mich|"
    r"für jemand(?:en)? anderen? (?:bestimmt|gedacht)|nicht (?:der|die) (?-i:[A-Z])\w+,? (?:den|die) sie|"
    r"vous me confondez|destinée? à quelqu['’]un d['’]autre|me (?:está )?confund\w+ con|(?:era|"
    r"es) para otra persona|mi (?:sta )?confond\w+ con|per un['’]altra persona|era para outra pessoa|"
    r"\b(?:eine|um eine|wohl eine) verwechslung|\berreur (?:de personne|sur la personne)|vous vous trompez de|"
    r"voor iemand anders bedoeld|verwart me met|pomylił\w+ (?:mnie|osob\w+)|путаете меня|для кого-то другого",
    re.I,
)
NOT_NOW = re.compile(
    r"\bnot (?:right |just )?now\b|"
    r"not (?:really |actively )?(?:looking|interested|searching|open|available|considering|planning)[^.!?\n]{0,40}"
    r"(?:right now|at (?:the|this) (?:moment|time|point|stage)|currently|for now|just now|at present|this year|yet)|"
    r"(?:currently|at the moment|right now),? (?:i['’]?m |i am )?not (?:looking|interested|searching|open|available)|"
    r"(?:not|isn['’]t|n['’]t) (?:a|the) (?:good|right|best) (?:time|moment)|bad tim(?:e|ing)|timing (?:is|isn|"
    r"doesn|not)|"
    r"(?:maybe|perhaps|possibly) (?:later|in (?:a |the )?(?:few|future|couple|next|some)|next|another time)|"
    r"(?:reach out|get in touch|contact me|ping me|check (?:back|in)|follow up|write (?:to )?me|touch base|"
    r"try me|circle "
    r"back|talk|speak|reconnect)[^.!?\n]{0,30}(?:again|later|next (?:year|month|quarter|summer|spring|autumn|fall|"
    r"winter)|in (?:a |the )?(?:few|couple|\d+|two|three|six|some|new)\b)|"
    r"(?:just|only|recently) (?:started|joined|accepted|signed|begun)[^.!?\n]{0,30}(?:job|role|position|company|offer|"
    r"here|contract)?|keep (?:me in mind|in touch|my (?:details|cv|resume))|not ready to (?:move|leave|change)|"
    r"(?:derzeit|momentan|aktuell|zurzeit|zur zeit|im moment|gerade) (?:leider )?(?:nicht|kein\w*)|"
    r"nicht (?:der )?(?:richtige|passende) zeitpunkt|(?:melden|schreiben|kontaktieren)[^.!?\n]{0,40}(?:später|wieder|"
    r"in (?:ein paar|\d+|einigen)|nächst)|vielleicht später|"
    r"(?:pas|plus) (?:en recherche|à l['’]écoute|disponible|intéressée?)[^.!?\n]{0,30}(?:pour le moment|actuellement|"
    r"en ce moment|pour l['’]instant)|(?:actuellement|pour l['’]instant|pour le moment|"
    r"en ce moment)[^.!?\n]{0,30}\bpas\b|"
    r"pas le bon moment|plus tard|recontacte[rz][^.!?\n]{0,30}(?:dans|en|plus)|"
    r"(?:por ahora|de momento|por el momento|ahora mismo|actualmente) no|no (?:estoy|busco)[^.!?\n]{0,40}(?:ahora|"
    r"de momento|por el momento|actualmente)|no es (?:un|el) buen momento|más adelante|"
    r"(?:al momento|per ora|per il momento|attualmente|in questo momento) non|non (?:è|e['’]) il momento|più avanti|"
    r"(?:no momento|de momento|por agora|por enquanto|neste momento) não|não (?:é|e) (?:um |o )?(?:bom )?momento|"
    r"mais (?:tarde|para a frente|à frente)|(?:op dit moment|momenteel|nu even|voorlopig) (?:niet|geen)|"
    r"niet (?:het )?(?:goede|juiste) moment|(?:obecnie|na razie|w tej chwili|aktualnie) nie|nie (?:teraz|"
    r"w tej chwili)|"
    r"может быть позже|(?:сейчас|пока|в данный момент) не|не сейчас|напишите позже|"
    r"(?:just nu|för tillfället|för närvarande|lige nu|akkurat nå|for øyeblikket) (?:inte|ikke)|"
    r"inte (?:just nu|för tillfället)|ikke (?:lige nu|akkurat nå|nå)|en (?:juuri )?nyt|"
    r"今は(?:転職|考え|難し|興味)|現在は?(?:転職|考え)|また(?:の機会|後日)|暂时不|目前(?:不|没有)|现在不|以后再|"
    r"지금은|현재는? (?:이직|생각|관심)|나중에|"
    r"(?:later|sometime|end of|early|towards the end of) (?:this|next) year|(?:maybe|perhaps|"
    r"possibly)[^.!?\n]{0,20}\bin (?:the )?(?:spring|summer|autumn|fall|winter|new year|q[1-4]|january|"
    r"february|march|april|june|july|august|september|october|november|december)\b|(?:happy|glad|open|"
    r"free) to (?:talk|chat|speak|discuss|connect)[^.!?\n]{0,20}\b(?:after|once)\b(?! (?:\d|\w*day|work|lunch|"
    r"noon|hours|five|six|seven))|(?:cliff|stock|options?|shares|equity|rsus?|bonus)[^.!?\n]{0,15}(?:vests?|"
    r"pays? out|is paid|is due)\b|(?:just|recently) (?:been promoted|had a baby|changed jobs|moved (?:jobs|"
    r"teams|companies))|gerade erst (?:angefangen|gewechselt|begonnen)|(?:vor kurzem|kürzlich) (?:angefangen|"
    r"gewechselt)|(?:vielleicht|gerne?) (?:wieder )?(?:nächstes|im) (?:jahr|frühjahr|frühling|sommer|herbst|"
    r"winter)|viens (?:juste |à peine )?de (?:commencer|changer|signer|rejoindre)|(?:reparlons|"
    r"recontact\w+)[^.!?\n]{0,25}(?:après|dans|en |l['’]an)|acabo de (?:empezar|cambiar|entrar|firmar)|"
    r"(?:hablamos|hablemos|escríbame|contácteme)[^.!?\n]{0,20}(?:después|tras|en unos|el año que viene)|"
    r"(?:risentiamoci|sentiamoci|riparliamone|ricontatt\w+)[^.!?\n]{0,20}(?:dopo|tra |fra |in (?:primavera|"
    r"estate|autunno))|ho appena (?:iniziato|cambiato|firmato)|acabei de (?:começar|mudar|entrar|assinar)|"
    r"(?:falamos|voltamos a falar)[^.!?\n]{0,20}(?:depois|daqui|no próximo)|(?:net|pas|onlangs|"
    r"recent) (?:begonnen|gestart|van baan)|na de zomer|(?:spreken|praten)[^.!?\n]{0,20}volgend jaar|"
    r"(?:nyligen|precis|nettopp|lige|netop) (?:börjat|bytt|begynt|begyndt|startet|skiftet)|(?:inte|"
    r"ikke) aktuell?t? (?:just nu|nå|nu|lige nu)|(?:niedawno|dopiero co) (?:zmienił|zaczęł|zaczął|rozpocz)\w*|"
    r"(?:wróćmy|odezw\w+)[^.!?\n]{0,20}(?:za |po |w przyszłym)|(?:недавно|только что) (?:устроил|сменил|перешл|"
    r"перешёл|начал)\w*|через (?:год|полгода|пару|несколько) ?(?:месяц\w*|лет)?|после (?:нового года|лета)|"
    r"şu an(?:da|lık)?[^.!?\n]{0,40}(?:düşünmüyorum|istemiyorum|aramıyorum|değil)|ileride (?:görüş|konuş)\w*|"
    r"刚(?:换|入职|跳槽)|明年再|过(?:几个月|段时间)|"
    r"(?:not|isn['’]t|n['’]t) (?:a|my|our) (?:top )?priority|(?:try|ping|reach|contact|message|"
    r"write) (?:out to )?(?:me|us|to me)"
    r"[^.!?\n]{0,20}\bin (?:the (?:spring|summer|autumn|fall|winter|new year)|q[1-4]\b|jan|feb|mar|apr|may\b|"
    r"jun|jul|aug|sep|"
    r"oct|nov|dec)|(?:circle|loop|check|come|get|reach) (?:back|out)[^.!?\n]{0,20}\b(?:after|once|when|"
    r"in (?:the|q[1-4]|\w+ary|"
    r"spring))\b|(?:ping|try|contact|call|catch) me[^.!?\n]{0,15}\b(?:after|once)\b(?! (?:\d|\w*day|work|lunch|"
    r"noon|hours|five|"
    r"six|seven))|\b(?:tied|locked|frozen|committed|contracted|booked)\b[^.!?\n]{0,40}\b(?:until|till|"
    r"this (?:quarter|year))\b|"
    r"(?:can['’]?t|cannot|won['’]t) (?:take on|start|consider|think about|look at)[^.!?\n]{0,40}\b(?:until|before)\b|"
    r"\brevisit (?:this |it |that )?(?:then|later|in|next|after)|\btoo (?:soon|early) for (?:me|us)|"
    r"\bnothing before (?:then|"
    r"that)|(?:happy|glad|keen|like) to hear from you[^.!?\n]{0,15}\b(?:after|then|later|once)\b|"
    r"in the middle of (?:moving|a|an|"
    r"buying|having)\b|budget is (?:locked|frozen|gone|spent)|maybe (?:next (?:year|quarter)|q[1-4]\b)|"
    r"\b(?:bin|bin ich) (?:gerade |aktuell |derzeit |noch )?in (?:elternzeit|mutterschutz|der probezeit)|"
    r"\berst (?:ab|im|nach) [^.!?\n]{0,25}\bwieder\b|pas (?:pour le moment|pour l['’]instant|maintenant|"
    r"actuellement)\b|"
    r"en congé (?:de )?(?:maternité|parental)|\b(?:en reparl\w+|reven(?:ez|ir) vers moi|à la rentrée)\b|"
    r"\bahor(?:a|ita) no\b|"
    r"\bdespués de (?:vacaciones|navidad|las fiestas|verano)|\b(?:al momento|per ora|adesso) no\b|"
    r"\bmagari (?:in|tra|fra|più)\b|"
    r"\b(?:agora|de momento) não\b|\binte rätt (?:läge|tid)|\båterkom (?:efter|till|i|om)\b|\bnu niet\b|"
    r"\bmoże później|"
    r"\bpóźniej\b[^.!?\n]{0,15}\b(?:odezw|wróc)",
    re.I,
)
NOT_INTERESTED = re.compile(
    r"not (?:really |particularly |very |at all )?(?:interested|looking|for me|a (?:good )?(?:fit|match)|keen|"
    r"something i)|(?:isn['’]t|is not|wouldn['’]t be) (?:for me|of interest|a (?:good )?(?:fit|match)|something i)|"
    r"(?:n['’]t|no) (?:be )?interest(?:ed)?\b|no[,.]? (?:thanks|thank you|thx)|(?:i['’]?ll|i will|have to|going to|"
    r"gonna|must|i) (?:politely |respectfully )?(?:pass\b|decline)|(?:very )?happy (?:where i am|in my (?:current|"
    r"present|job|role)|with my (?:current|job|role))|rather not|not (?:going to|planning to|"
    r"looking to) (?:move|change|"
    r"leave|switch)|don['’]t (?:want|wish) to (?:change|move|leave)|"
    r"kein\w* (?:interesse|bedarf)|nicht interessiert|nein,? danke|nicht auf (?:der )?(?:job)?suche|"
    r"kein thema für mich|"
    r"(?:pas|plus|guère) (?:du tout )?(?:intéressée?|en recherche|à l['’]écoute)|non,? merci|ne m['’]intéresse pas|"
    r"ne (?:suis|souhaite) pas[^.!?\n]{0,30}(?:changer|intéress)|"
    r"no (?:me interesa|estoy interesad|tengo interés|busco|gracias)|no,? gracias|"
    r"non (?:sono interessat|mi interessa|ho interesse|cerco)|no,? grazie|"
    r"não (?:tenho interesse|estou interessad|me interessa|procuro)|não,? obrigad|sem interesse|"
    r"geen (?:interesse|belangstelling)|niet geïnteresseerd|nee,? (?:bedankt|dank)|"
    r"nie jestem zainteresowan|nie interesuje mnie|nie,? dziękuję|brak zainteresowania|"
    r"не ?интерес(?:но|ует|ен)|не заинтересован|нет,? спасибо|не ищу|"
    r"(?:inte|ikke) (?:intresserad|interesse\w*|aktuell?t? for mig)|nej,? tack|nej,? tak|nei,? takk|ingen interesse|"
    r"en ole kiinnostunut|ei kiinnosta|ei kiitos|nemám zájem|nem érdekel|nu sunt interesat|ilgilenmiyorum|"
    r"興味(?:は|が)?(?:あり|ござい)ません|結構です|辞退|お断り|不感兴趣|没有?兴趣|沒有?興趣|不需要|不考虑|"
    r"관심(?:이|은)? ?없|괜찮습니다|사양|"
    r"\b(?:love|like|enjoy) (?:my|the) (?:current |present )?(?:job|role|team) (?:i have|and|here|too)|"
    r"no (?:plans?|intention|wish|desire) (?:to|of) (?:leav|mov|chang|switch)\w*|(?:say|saying|said) no (?:to|"
    r"here|for)\b|not worth (?:continuing|it|my while|pursuing)|(?:already|just|since|recently) (?:found|have|"
    r"got|accepted|took|taken|started) (?:a |an |another |my )?(?:new )?(?:job|position|role|offer)\b|"
    r"(?:n['’]t|not) see myself (?:moving|leaving|changing|switching)|\A\W*(?:no|nope|nah|nein|non|nee|não|nej|"
    r"nei|nie|нет|hayır|いいえ|όχι|לא|لا)\W*(?:\Z|\n\s*\n[^\n]{1,40}\Z)|(?:zufrieden|glücklich) (?:in|mit|bei|"
    r"dort|hier|wo) |nichts für mich|für mich nicht|nicht wechseln|(?:bereits|"
    r"schon) (?:eine?n? )?(?:neuen? )?(?:job|stelle)\b|(?:heureu\w+|satisfaite?|content\w*|bien) (?:dans mon|"
    r"où je|là où)|pas pour moi|déjà (?:trouvé|un (?:poste|emploi|travail))|(?:contento|contenta|feliz|"
    r"a gusto) (?:en mi|con mi|donde)|no es para mí|ya (?:encontré|tengo|"
    r"he encontrado) (?:un )?(?:nuevo )?(?:trabajo|empleo)|(?:content[oa]|felice|soddisfatt[oa]|bene) (?:dove|"
    r"del mio|nel mio)|non fa per me|già (?:trovato )?(?:un )?(?:nuovo )?lavoro|(?:feliz|satisfeit[oa]|"
    r"contente) (?:onde|com o|no meu)|não é para mim|já (?:encontrei|tenho|"
    r"arranjei) (?:um )?(?:novo )?(?:emprego|trabalho)|nik?e?[kt]?s voor mij|zit (?:hier )?(?:goed|prima) waar|"
    r"\bik pas (?:voor|deze)|(?:tevreden|blij|gelukkig) (?:met mijn|in mijn|waar ik)|al een (?:nieuwe )?baan|"
    r"(?:zadowolon\w+|szczęśliw\w+) (?:z|w|tam)\b|nie dla mnie|(?:znalazł[ae]m|mam już) (?:nową )?pracę|"
    r"меня (?:всё |все |вполне )?устраивает|не для меня|уже (?:нашёл|нашел|нашла) (?:новую )?работу|"
    r"trivs (?:bra )?(?:där|med|på|här)|(?:inget|ikke noget|ingenting) for? ?(?:för )?mig|redan (?:hittat|"
    r"fått) (?:ett )?(?:nytt )?jobb|(?:işimden|yerimden) memnunum|bana göre değil|iş buldum|見送ら|遠慮(?:させ|し)|"
    r"已经?(?:找到|有)新?工作|不适合我|이미 (?:취업|이직)|"
    r"\bnot (?:for us|something we)\b|(?:isn['’]t|is not) something we\b|\bsorry,? (?:but )?no\b(?! (?:problem|"
    r"worries|need))|"
    r"\b(?:i['’]?m|we['’]?re) (?:good|all set|fine|sorted),? (?:thanks|thank you|thx|cheers)|"
    r"\bhappy with (?:what|where|our|"
    r"(?-i:[A-Z]))|\btoo (?:far|expensive|junior|senior|small|low)\b[^.!?\n]{0,15}\bfor (?:me|us|my|a|this)\b|"
    r"(?:don['’]t|do not|never) (?:work|deal) with (?:agenc\w+|recruiters|headhunters)|\bstaying (?:put|where i am)\b|"
    r"\bno (?:need|budget)\b|\bi(?: have|['’]ve)? (?:now |just )?retired\b|\bonly (?:do|take) (?:contract|"
    r"freelance|part-?time)|"
    r"\bleider nein\b|\bnein,? leider|\bne (?:cherche|souhaite|envisage|compte|pense) pas (?:à |de )?(?:changer|"
    r"bouger|partir|"
    r"quitter)|\bnie (?:planuję|szukam|rozważam)\b|\bzit (?:hier )?(?:goed|prima) op\b|\bnão (?:estou à procura|"
    r"estou a "
    r"procurar|penso em mudar)|\bhayır,? teşekkür|\bне планирую\b",
    re.I,
)
_WHEN = r"(?:mon|tues?|wed|thur?s?|fri|satur|sun|today|tomorrow|any ?time|any day|next|this|morning|afternoon|evening|\d)"
INTERESTED = re.compile(
    r"\b(?:very |quite |definitely |certainly |potentially )?(?:interested|intrigued|keen)\b|"
    r"sounds (?:\w+ )?(?:interesting|great|good|exciting|amazing|like a (?:good|great))|looks (?:\w+ )?(?:interesting|"
    r"great|exciting)|(?:happy|glad|open|keen|delighted|love|like|up|down|free|available) (?:to|for) (?:a |"
    r"an )?(?:quick |"
    r"brief |short )?(?:chat|talk|call|meet|connect|discuss|hear|learn|know|conversation|speak)|"
    r"let['’]?s (?:talk|chat|"
    r"do it|connect|speak|schedule|set|find|meet|have)|(?:schedule|book|set up|arrange|hop on|jump on) (?:a |"
    r"an )?(?:quick )?"
    r"(?:call|chat|meeting|time)|tell me more|(?:send|share|give)[^.!?\n]{0,15}(?:more|further|the) (?:info|details|"
    r"information|job|role|description)|(?:here(?:['’]s| is)|attached|find)[^.!?\n]{0,20}my (?:cv|resume|résumé)|"
    r"(?<!n['’]t )(?<!not )(?:call|reach) me (?:at|on)|my (?:number|phone|mobile|cell) is|count me in|"
    r"yes,? (?:please|sure)|"
    r"(?:bin|wäre|sehr|grundsätzlich) (?:sehr )?interessiert|klingt (?:\w+ )?(?:gut|spannend|interessant|super)|"
    r"hört sich (?:\w+ )?(?:gut|spannend|interessant)|gerne? (?:mehr|telefonieren|sprechen|austauschen|ein)|"
    r"habe interesse|"
    r"(?:suis|serais|très) (?:très )?intéressée?|m['’]intéresse|avec plaisir|volontiers|en savoir plus|"
    r"(?:estoy|estaría|muy) (?:muy )?interesad|me interesa|me encantaría|suena (?:muy )?(?:bien|interesante)|"
    r"cuéntame más|"
    r"(?:sono|sarei|molto) (?:molto )?interessat|mi interessa|volentieri|mi piacerebbe|sembra interessante|"
    r"(?:estou|estaria|muito) (?:muito )?interessad|tenho interesse|me interessa|gostaria de (?:saber|conversar)|"
    r"parece (?:interessante|ótimo)|(?:ben|zeer|erg) geïnteresseerd|klinkt (?:\w+ )?(?:goed|interessant|leuk)|"
    r"graag (?:een|"
    r"meer)|jestem (?:bardzo )?zainteresowan|brzmi (?:ciekawie|dobrze|interesująco)|chętnie (?:po|dowiem|się)|"
    r"(?:мне |очень |это )?интересно|заинтересован|давайте (?:поговорим|созвонимся|обсудим)|с удовольствием|"
    r"расскажите "
    r"(?:подробнее|больше)|(?:jag är|jeg er|är|låter|lyder|høres) (?:intresserad|interesseret|interessert|intressant|"
    r"spændende|spennende)|berätta (?:gärna )?mer|olen kiinnostunut|kuulostaa (?:hyvältä|mielenkiintoiselta)|"
    r"mám zájem|"
    r"érdekel\b|sunt interesat|ilgileniyorum|興味(?:が|は)?(?:あり|ござい)ます|ぜひ(?:お話|詳しく)|詳しく(?:お聞き|教えて)|"
    r"(?<!不)感兴趣|(?<!没)有兴趣|(?<!沒)有興趣|可以聊|想了解|관심(?:이|은)? ?있|자세히 알고|"
    r"(?:cv|resume|résumé) (?:is )?(?:attached|enclosed)|(?<!n['’]t )(?<!not )\bcall me(?= (?:any|to|this|next|"
    r"when|mon|tue|wed|thu|fri)|\W*(?:\+|\d|$))|(?:suits|works) (?:me|for me|well|fine|great)\b|here(?:['’]s|"
    r" is) my (?:number|phone|calendar|availability|cell)|(?:book|pick|grab|choose) (?:a |any |your )?(?:slot|"
    r"time)\b|i(?:['’]d| would) (?:certainly |definitely |seriously )?consider (?:it|this|that)|"
    r"\bsend (?:me )?(?:the )?(?:details|job spec|spec|description)|i (?:really )?like (?:it|this|the sound)\b|"
    r"right up my (?:alley|street)|exactly what i(?:['’]m| am| was) (?:looking|searching)|"
    r"höre? (?:ich )?(?:es )?mir (?:aber )?gerne? an|erreichen sie mich|rufen sie mich|passt mir (?:gut|am)|"
    r"meine (?:handy|telefon)?nummer (?:ist|lautet)|lebenslauf (?:anbei|im anhang)|spricht mich an|"
    r"encaja con lo que|llám[ae]n?me|adjunto mi|appelez[- ]moi|ci-joint mon|me convient|je suis partant|"
    r"chiamami|mi chiami|allego il mio|mi va bene|ligue-me|segue (?:o )?meu (?:cv|currículo)|bel (?:me|"
    r"mij) (?:maar|gerust|op|morgen)|spreekt me aan|past me (?:goed|prima)|proszę o (?:więcej|telefon|"
    r"szczegóły|kontakt\b)|proszę zadzwonić|пришлите,? (?:пожалуйста,? )?(?:подробности|описание|предложение|"
    r"условия|цены)|позвоните мне|резюме (?:во вложении|"
    r"прикладываю)|beni ara|cv.{0,3}ekte|"
    r"sounds (?:very |quite )?relevant|send (?:me |over )?(?:an invite|(?:some|a few|your) (?:times|slots|dates|"
    r"calendar|"
    r"availability))|\bsend (?:me |over )?your calendar|(?:would|['’]d) be (?:good|great|nice|"
    r"lovely) to (?:talk|chat|speak|connect|"
    r"meet|hear)|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b[^.!?\n]{0,25}\bworks\b|\bi (?:can|could) (?:do|make) "
    rf"(?:\w+ ){{0,2}}?{_WHEN}|\b(?:can|could) do \d|\bi(?:['’]m| am) (?:free|around|available) (?:on )?{_WHEN}|"
    r"\bbooked a (?:slot|call|time)|"
    r"\bi['’]?m (?:in|game)\b(?=\W*(?:$|[.!\n]))|\b(?:feel free to|please|go ahead and|do) send (?:me )?(?:the |"
    r"over |along |your )?"
    r"(?:report|spec|details|info\w*|more|job|it)\b|(?:happy|glad|open) to have a (?:chat|call|conversation|talk)|"
    r"open to (?:\d+|a few|some) min|\bput me on your list|\bgo on then\b|been looking (?:at|for|"
    r"into) (?:exactly |something like |"
    r"tools like )?this\b|\bif (?:that|it) works(?: for you)?\b|"
    r"\bruf (?:mich|gern)|\bja,? (?:sehr )?gerne?\b|\binteresse (?:habe ich|besteht|hätte ich)|passt (?:gut|"
    r"super|prima)\b|"
    r"m['’]intrigue|serais? ravie? d|\b(?:mándame|envíame|mándeme|envíeme) (?:la|el|más|información)|\bme lo mandi\b|"
    r"\bmand(?:a|i|ami) pure\b|tenho (?:\w+ ){1,2}interesse|\bgraag meer\b|otwart[ay] na (?:rozmow|propozyc|kontakt)|"
    r"ilgilenirim|ilgimi çek|\bzní (?:zajímavě|dobře)|\bsună (?:interesant|bine)|\blåter (?:relevant|bra|"
    r"spännande)|\bta ett "
    r"(?:kort )?möte|тема актуальна|ぜひお願い|お話を(?:伺|お聞き)",
    re.I,
)
# A plain yes at the head of a line, or the question when to talk: enough where nothing speaks against it.
AGREED = re.compile(
    r"(?:(?m:^)|(?<=[.!?] ))\W{0,3}(?:yes|yeah|yep|absolutely|definitely|certainly|of course|gladly|with pleasure|"
    r"by all means|why not|"
    r"sure(?: thing)?|ja(?: gärna| bitte| klar| graag)?|va bene|d['’]accordo|evet|gerne?|klar|natürlich|oui|"
    r"bien sûr|sí|claro(?: que sí)?|por supuesto|con gusto|sì|certo|sim|"
    r"com certeza|com prazer|graag|jazeker|tak|chętnie|oczywiście|да|конечно|gärna|kyllä|はい|ぜひ|好的|네)"
    r"(?=\s*(?:[,!.…、。，！]|$))(?!\W{0,3}(?:but|aber|mais|pero|però|ma|mas|maar|ale|но|men|mutta)\b)|"
    r"\byes,? i\b(?!,? (?:saw|got|read|received|know))|"
    r"\bwhen (?:can|could|shall|should|would) (?:we|you|i)\b[^.!?\n]{0,30}\b(?:talk|speak|chat|meet|call|connect)|"
    r"\b(?:can|could|shall) we (?:talk|speak|chat|meet|have a call)\b|\b(?:können|könnten) wir\b[^.!?\n]{0,25}\b"
    r"(?:telefonieren|sprechen)|\bpodemos hablar|\bpossiamo (?:parlarne|sentirci|vederci)|"
    r"\bpouvons[- ]nous (?:en )?(?:parler|"
    r"échanger)|\bmůžeme si (?:zavolat|promluvit)|\bputem vorbi|"
    r"\bwann (?:können|könnten|sollen|wollen) wir\b[^.!?\n]{0,30}\b(?:telefonieren|sprechen|reden)|"
    r"\bquand (?:pouvons|pourrions)[- ]nous\b[^.!?\n]{0,30}\b(?:parler|échanger|discuter)|"
    r"\bcuándo (?:hablamos|podemos hablar|podríamos hablar)|\bquando (?:possiamo|ci) (?:parlare|sentirci|sentiamo)|"
    r"\bquando podemos (?:falar|conversar)",
    re.I,
)
NEGATION = re.compile(
    r"(?:\bnot|n['’]t|\bno|\bnever|\bnor|\bhardly|\bkein\w*|\bnicht|\bpas|\bplus|\bne|\bno me|\bnon|\bnão|"
    r"\bniet|\bgeen|"
    r"\bnie|\bне|\binte|\bikke|\bei|\ben ole|\bnem|\bnu)(?:\s+\S+){0,3}\s*$",
    re.I,
)
# A contrast: what follows outweighs what stands before.
ADVERSE = re.compile(
    r"[,.;]?\s(?:but|however|though|although|aber|jedoch|mais|cependant|pero|sin embargo|però|ma|tuttavia|mas|"
    r"porém|maar|"
    r"echter|ale|jednak|но|однако|men|mutta)\b|ですが|但是?|하지만",
    re.I,
)
QUESTION = re.compile(
    r"(?:[?？؟\u037e]|(?<=[\u0370-\u03ff\u1f00-\u1fff]);)\s*(?:$|\s)|"
    r"\b(?:what|which|who|where|when|how|is|are|does|do|can|could|would) [^.!?\n]{3,120}\?|"
    r"\b(?:salary|compensation|remote|range|budget|rate)\b[^.!\n]{0,60}\?|ですか|でしょうか|吗|呢|인가요|나요|습니까",
    re.I | re.M,
)
# Words before the name of somebody else. Letters' case matters in the name alone.
REFERRING = re.compile(
    r"(?i:\b(?:(?:please |better |best |rather |should |could |can |would )?(?:contact|reach out to|reach|talk to|"
    r"talk with|speak (?:to|with)|write to|get in touch with|e-?mail|ask|try|ping|message|connect with|check with)|"
    r"(?:recommend|suggest|refer(?:ring)? you to|introduc(?:e|ing) you to|put(?:ting)? you in touch with|"
    r"cc['’]?(?:ing|ed)?|"
    r"copying(?: in)?|looping in|adding|passed (?:this|it|your \w+) (?:on )?to|forward(?:ed|ing) (?:(?:this|it|"
    r"your \w+) )?to|loop(?:ing|ed)? in|"
    r"(?:better off|worth|suggest|recommend) (?:asking|contacting|e-?mailing|(?:speaking|talking) (?:to|with)|"
    r"writing to)|"
    r"(?:right|best|correct) person (?:is|would be)|person (?:you need|to (?:talk|speak) to) is)|"
    r"(?:fragen sie(?: doch)?(?: mal| bitte)?|versuchen sie es bei|wenden sie sich (?:bitte )?an|kontaktieren sie|"
    r"schreiben sie|(?:sprechen|reden) sie (?:(?:doch|bitte|mal|am besten|einfach) ){0,3}mit|"
    r"ansprechpartner\w* ist|empfehle|"
    r"weitergeleitet an|leite[^.\n]{0,20} an)|"
    r"(?:contacte[rz]|adresse[rz][- ]vous à|voir avec|parle[rz] (?:à|avec)|écri(?:re|vez) à|transmis à|recommande)|"
    r"(?:contacta(?:r)?(?: con| a)?|habl[ae](?:r)? con|escrib[ae](?:r)? a|dirigirse a|recomiendo(?: a)?|reenviado a)|"
    r"(?:contatt[ai](?:re)?|parlare con|scriv(?:a|ere|i) a|rivolgersi a|consiglio|inoltrato a)|"
    r"(?:contact[ae](?:r)?|fal[ae](?:r)? com|escrev[ae](?:r)? (?:a|para)|recomendo|encaminhei (?:a|para))|"
    r"(?:probeer|vraag het(?: aan)?|neem contact op met|contacteer|spreek met|mail naar|doorgestuurd naar|raad)|"
    r"(?:skontaktować się z|proszę (?:pisać do|o kontakt z)|polecam)|"
    r"(?:обратитесь к|свяжитесь с|напишите|рекомендую|переслал\w*)|"
    r"(?:kontakta|kontakt|prata med|tal med|snakk med|ota yhteyttä))\s+)"
    r"(?i:(?:my|our|the|a|an|to|with|mein\w*|unser\w*|frau|herrn?|mon|ma|notre|à|mi|nuestr[oa]|a|il|la|mio|mia|o|meu|"
    r"minha|"
    r"mijn|onze|mr\.?|mrs\.?|ms\.?|dr\.?)\s+){0,2}"
    r"(?i:(?:former |ex-?|good )?(?:colleague|friend|boss|manager|partner|wife|husband|brother|sister|cto|ceo|"
    r"director|"
    r"kolleg\w+|freund\w*|collègue|ami\w?|compañer\w+|amig\w+|collega|amic\w+|colega|vriend\w*)\s*,?\s+)?"
)
# Somebody the writer knows, before the name.
COLLEAGUE = re.compile(
    r"\b(?:colleague|friend|ex-colleague|teammate|co-?worker|husband|wife|brother|sister|partner|kolleg(?:en|in|e)|"
    r"freund(?:in)?|bekannte\w?|collègue|amie?|compañer[oa]|amig[oa]|collega|amic[oa]|colega|vriend(?:in)?|koleg\w+|"
    r"znajom\w+|коллег\w+|друг(?:а|у|ом)?|kollega|vän|ven|venn|arkadaşım)\b\s*,?\s+",
    re.I,
)
# Behind the name: why they are named.
SUITABLE = re.compile(
    r"\b(?:(?:would|could|might|may) (?:be|love|like|have|fit|suit)|is (?:looking|searching|open|perfect|great)|wäre|"
    r"sucht|"
    r"passt|serait|cherche|sería|estaría|busca|sarebbe|cerca|seria|procura|zou|zoekt|byłb\w+|szuka|подойд\w+|ищет|"
    r"skulle|söker|søger|ser etter)\b",
    re.I,
)
# Behind somebody's name: that the matter is theirs.
IN_CHARGE = re.compile(
    r" (?:runs|leads|heads|handles|owns|manages|looks after|takes care of|deals with|"
    r"is (?:responsible|in charge|the right|the one|looking)|leitet|verantwortet|kümmert sich|ist (?:zuständig|"
    r"verantwortlich)|sucht|gère|dirige|s['’]occupe|cherche|lleva|se encarga|busca|gestisce|si occupa|cerca|"
    r"lidera|cuida|procura|"
    r"regelt|doet|zoekt|zajmuje się|szuka|отвечает|занимается|ищет|ansvarar|söker)\b",
    re.I,
)
