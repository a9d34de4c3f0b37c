"""Which mail domains belong to nobody's employer, and which local parts to nobody in person."""

from __future__ import annotations

__all__ = ["ROLE_LOCALS", "is_free"]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_FREE_LABELS = _set("gmail googlemail yahoo ymail hotmail outlook live msn aol gmx yandex")
"""First labels of providers that have a domain in many countries (yahoo.co.uk, hotmail.fr)."""

_FREE_DOMAINS = _set(
    """
    gmail.com googlemail.com outlook.com hotmail.com live.com msn.com passport.com windowslive.com
    yahoo.com ymail.com rocketmail.com myyahoo.com yahoodns.net aol.com aim.com verizon.net netscape.net
    icloud.com me.com mac.com privaterelay.appleid.com
    proton.me protonmail.com protonmail.ch pm.me tutanota.com tutanota.de tutamail.com tuta.io tuta.com
    keemail.me
    fastmail.com fastmail.fm hey.com duck.com zoho.com zohomail.com zohomail.eu mail.com email.com usa.com
    myself.com consultant.com post.com europe.com asia.com iname.com engineer.com inbox.com hushmail.com
    hush.com runbox.com posteo.de posteo.net mailbox.org disroot.org riseup.net startmail.com mailfence.com
    countermail.com simplelogin.com simplelogin.io skiff.com lavabit.com gmx.com gmx.us
    comcast.net xfinity.com att.net sbcglobal.net bellsouth.net pacbell.net ameritech.net swbell.net cox.net
    charter.net spectrum.net roadrunner.com rr.com twc.com earthlink.net mindspring.com juno.com netzero.net
    optonline.net optimum.net frontier.com frontiernet.net windstream.net centurylink.net q.com embarqmail.com
    rogers.com bell.net sympatico.ca shaw.ca telus.net videotron.ca cogeco.ca eastlink.ca
    btinternet.com btopenworld.com sky.com talktalk.net talk21.com virginmedia.com virgin.net blueyonder.co.uk
    ntlworld.com tiscali.co.uk plus.net o2.co.uk orange.net eircom.net
    web.de gmx.de gmx.net gmx.at gmx.ch t-online.de freenet.de arcor.de online.de 1und1.de vodafone.de
    email.de mail.de kabelmail.de unitybox.de magenta.de posteo.at aon.at chello.at a1.net utanet.at drei.at
    bluewin.ch hispeed.ch sunrise.ch swissonline.ch
    free.fr orange.fr wanadoo.fr laposte.net sfr.fr neuf.fr numericable.fr bbox.fr aliceadsl.fr
    club-internet.fr
    cegetel.net noos.fr voila.fr
    libero.it virgilio.it alice.it tin.it tiscali.it inwind.it iol.it fastwebnet.it email.it tim.it
    poste.it vodafone.it teletu.it blu.it
    terra.es telefonica.net ono.com movistar.es ya.com jazztel.es euskalnet.net
    sapo.pt clix.pt netcabo.pt mail.telepac.pt iol.pt
    uol.com.br bol.com.br terra.com.br ig.com.br globo.com globomail.com oi.com.br r7.com zipmail.com.br
    terra.com.mx prodigy.net.mx fibertel.com.ar arnet.com.ar speedy.com.ar ciudad.com.ar
    ziggo.nl kpnmail.nl kpnplanet.nl planet.nl home.nl hetnet.nl xs4all.nl chello.nl quicknet.nl upcmail.nl
    casema.nl zonnet.nl telfort.nl caiway.nl
    telenet.be skynet.be proximus.be scarlet.be voo.be belgacom.net pandora.be
    telia.com comhem.se bredband.net spray.se swipnet.se home.se tele2.se bahnhof.se
    online.no broadpark.no getmail.no start.no frisurf.no jubii.dk mail.dk stofanet.dk mail.tele.dk tdcadsl.dk
    youmail.dk ofir.dk kolumbus.fi elisanet.fi saunalahti.fi luukku.com suomi24.fi pp.inet.fi mbnet.fi
    simnet.is
    wp.pl onet.pl onet.eu o2.pl interia.pl interia.eu op.pl poczta.onet.pl poczta.fm tlen.pl vp.pl gazeta.pl
    seznam.cz email.cz centrum.cz post.cz volny.cz atlas.cz azet.sk zoznam.sk centrum.sk post.sk
    freemail.hu citromail.hu indamail.hu t-online.hu vipmail.hu upcmail.hu
    abv.bg mail.bg dir.bg rambler.ru mail.ru bk.ru inbox.ru list.ru internet.ru yandex.ru yandex.com ya.ru
    narod.ru lenta.ru pochta.ru ukr.net i.ua meta.ua bigmir.net tut.by mail.kz
    otenet.gr in.gr forthnet.gr windowslive.gr mynet.com ttmail.com superonline.com turk.net
    walla.co.il walla.com bezeqint.net netvision.net.il 012.net.il zahav.net.il
    rediffmail.com rediff.com sify.com indiatimes.com in.com
    qq.com foxmail.com 163.com 126.com yeah.net vip.163.com vip.qq.com sina.com sina.cn sohu.com 139.com
    189.cn
    aliyun.com tom.com 21cn.com 263.net wo.cn
    naver.com hanmail.net daum.net nate.com kakao.com korea.com dreamwiz.com empal.com
    docomo.ne.jp ezweb.ne.jp au.com softbank.ne.jp i.softbank.jp nifty.com biglobe.ne.jp so-net.ne.jp
    ocn.ne.jp
    plala.or.jp infoseek.jp excite.co.jp goo.jp dion.ne.jp mopera.net ybb.ne.jp uqmobile.jp
    hinet.net pchome.com.tw seed.net.tw netvigator.com singnet.com.sg pacific.net.sg
    bigpond.com bigpond.net.au optusnet.com.au iinet.net.au tpg.com.au internode.on.net dodo.com.au
    westnet.com.au ozemail.com.au xtra.co.nz slingshot.co.nz orcon.net.nz
    mweb.co.za telkomsa.net webmail.co.za vodamail.co.za iafrica.com
    mailinator.com guerrillamail.com 10minutemail.com yopmail.com tempmail.com trashmail.com
    """
)

ROLE_LOCALS = _set(
    """
    info office contact contacto contatti contato kontakt hello hi hallo hola bonjour mail email post team
    admin administrator administration webmaster postmaster hostmaster root support help helpdesk service
    services kundenservice sales vertrieb ventes ventas vendite marketing press presse pr media
    jobs job career careers karriere recruiting recruitment recrutement rh hr humanresources human.resources
    personal bewerbung bewerbungen empleo emploi talent people billing accounts accounting invoice invoices
    rechnung finance buchhaltung comptabilite legal privacy dataprotection datenschutz gdpr dpo abuse security
    noc no-reply noreply no_reply donotreply do-not-reply newsletter news enquiries enquiry inquiries inquiry
    reception empfang secretary sekretariat secretariat reservations booking bookings orders shop store
    feedback general all everyone staff list mailer-daemon
    """
)


def is_free(domain: str) -> bool:
    """Whether anybody can have an address there, so that it says nothing of an employer. `domain` in lower case."""
    labels = domain.split(".")
    return domain in _FREE_DOMAINS or (len(labels) <= 3 and labels[0] in _FREE_LABELS)
