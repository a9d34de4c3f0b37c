"""The words spreadsheets use for a person's details, in the languages recruiters meet.

Spelled plainly or with accents: `columns` folds case, accents and punctuation on both sides.
"""

from __future__ import annotations

__all__ = [
    "AMBIGUOUS",
    "EMAIL",
    "EMAIL_BESIDE",
    "HONORIFICS",
    "LINKEDIN_BESIDE",
    "MOBILE",
    "NOISE",
    "PHONE",
    "PHONE_BESIDE",
    "PHRASES",
    "SOMEBODY_ELSE",
]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _lines(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.replace("\n", ",").split(",") if part.strip())


NOISE = _set(
    """
    candidate candidates contact person applicant lead prospect talent your please enter the what is of a
    s kandidat kandidaten bewerber bewerberin candidat candidate candidato candidata kandydat kandydata
    persona persoon кандидат кандидата соискатель 候補者 応募者 候选人 候選人 应聘者 후보자 지원자 value
    required optional ihr ihre votre del della du de la des do da van der l d
    """
)
"""Words that say whose detail it is (the candidate's) or nothing at all."""

EMAIL = _set(
    """
    email emails mail mails emailadresse emailadressen mailadresse emailaddress emailaddresses emailadres
    mailadres emailadress correo correoe courriel courriels mel poczta posta eposta epost epostadress
    epostadresse epostadres eposti sahkoposti почта имейл емейл емайл мейл пошта メール eメール
    メールアドレス 邮箱 邮件 電郵 电邮 郵件 郵箱 信箱 이메일 메일 אימייל דואל מייל الإيميل البريد ιμειλ
    emailcim emailový emailova
    """
)

_BESIDE_ANY: dict[str, int] = dict.fromkeys(
    _set(
        """
        primary main preferred default principal principale haupt 0 1 one no nr value wert valid best all
        and und et y e primaria primario hlavni основной основная 連絡先 主要
        """
    ),
    0,
)
_WORK = _set(
    """
    work business office professional professionnel professionnelle pro job corporate geschaftlich
    geschaeftlich dienstlich beruflich trabajo laboral profesional lavoro aziendale ufficio trabalho
    profissional corporativo zakelijk werk sluzbowy sluzbowa sluzbowe firmowy praca рабочий рабочая
    рабочей служебный 勤務先 会社 仕事 工作 公司 办公 직장 회사 jobb arbete arbejde tyo is pracovni
    munkahelyi
    """
)
_PRIVATE = _set(
    """
    personal private home privat private privee prive perso personnel personnelle particular personale
    privato privata casa pessoal particular prywatny prywatna prywatne osobisty личный личная личной
    домашний домашняя 個人 自宅 私用 个人 私人 家庭 개인 hem hjem koti soukromy osobni
    """
)
_OTHER = _set(
    """
    secondary second other alternate alternative additional backup 2 3 4 5 weitere andere zweite autre
    secondaire otro alternativo altro altra outro drugi inny другой дополнительный その他 其他 기타
    """
)
_CONTACT_NUMBER = _set(
    """
    number numbers num nummer numero nummern no nr numer номер 番号 号码 號碼 번호 cislo szam
    """
)

EMAIL_BESIDE: dict[str, int] = (
    _BESIDE_ANY
    | dict.fromkeys(
        _set(
            """
            address addresses adresse adresses adressen direccion direcciones indirizzo indirizzi endereco
            adres adresy adresa adress osoite cim адрес адреса アドレス 地址 주소 id electronico
            electronica electronique elettronica elettronico eletronico eletronica elektroniczny
            elektroniczna elektronicznej elektronische elektronisk electronic электронная электронной
            электронный электронна эл el ел elektronicka 電子 电子 الإلكتروني ηλεκτρονικο
            """
        ),
        0,
    )
    | dict.fromkeys(_WORK, -2)
    | dict.fromkeys(_PRIVATE, -4)
    | dict.fromkeys(_OTHER, -20)
)
"""What may stand beside an e-mail word, and what it costs. Any other word makes it another thing's column
(`Email status`, `Recruiter email`)."""

PHONE = _set(
    """
    phone phones telephone telephones tel telefon telefonnummer telefonnr rufnummer fon fone telefono
    telefonos telefone telefoon telefoonnummer телефон телефона телефону 電話 電話番号 电话 電話號碼 전화
    전화번호 연락처 puhelin puhelinnumero telefonszam τηλεφωνο טלפון هاتف الهاتف tlf phonenumber
    """
)
MOBILE = _set(
    """
    mobile mobiles cell cellphone cellular mobilephone handy handynummer mobil mobiltelefon mobilnummer
    mobiltelefonnummer mobilfunk portable movil celular cellulare telemovel mobiel mobieltje komorka
    komorkowy мобильный сотовый моб мобільний 携帯 携帯電話 携帯番号 手机 手機 手机号 手机号码 行動電話
    휴대폰 핸드폰 휴대전화 gsm kannykka matkapuhelin mobilni cep κινητο נייד whatsapp
    """
)
PHONE_BESIDE: dict[str, int] = (
    _BESIDE_ANY
    | dict.fromkeys(_CONTACT_NUMBER, 0)
    | dict.fromkeys(
        _set(
            """
        direct directe directo diretto durchwahl directa personal line ligne e164
        """
        ),
        2,
    )
    | dict.fromkeys(_WORK, -1)
    | dict.fromkeys(_PRIVATE - {"personal"}, -2)
    | {"corporate": -12, "landline": -2, "fixe": -2, "fijo": -2, "festnetz": -2}
    | dict.fromkeys(_OTHER, -20)
)

LINKEDIN_BESIDE = _set(
    """
    url urls uri link links profile profil profilo perfil profiel public page address address 1 id member
    web website site seite lien enlace adresse http https профиль ссылка プロフィール 主页 链接 프로필
    person personal profiles handle username
    """
)

SOMEBODY_ELSE = _set(
    """
    company companies organization organisation account employer firm firma unternehmen recruiter owner
    manager sourcer referrer referral referred hiring assistant spouse emergency interviewer school
    university entreprise societe empresa azienda bedrijf rekruter recruteur reclutador recrutador
    supervisor boss reference sender user added created modified компания рекрутер 会社 企業 担当 担当者
    採用 公司 회사 coordinator agency client customer vendor parent team coworker colleague twitter github
    facebook
    """
)
"""Words that make a link or a name somebody else's."""

HONORIFICS = _set(
    """
    mr mrs ms miss mx dr prof herr frau hr fr m mme mlle sr sra srta dott sig sigra ing pan pani mag sir
    madam doctor professor dipl phd dra dhr mevr mw 先生 女士 様
    """
)

AMBIGUOUS: dict[str, str] = {
    # word -> what it is when its counterpart is there too; on its own it is the whole name
    **dict.fromkeys(
        (
            "nombre",
            "nombres",
            "nome",
            "имя",
            "jmeno",
            "meno",
            "ime",
            "ad",
            "adi",
            "isim",
            "이름",
            "名前",
            "ім я",
        ),
        "first_name",
    ),
    **dict.fromkeys(
        ("nom", "noms", "name", "naam", "nume", "namn", "navn", "nimi", "nev", "名字"), "last_name"
    ),
}

PHRASES: dict[str, dict[int, tuple[str, ...]]] = {
    "first_name": {
        10: _lines(
            """
            first name, firstname, name first, given name, givenname, given names, forename,
            forenames, fname, first
            given, vorname, vornamen, rufname, prénom, prénoms, prénom usuel, nombre de pila
            primer nombre, nombres propios, primeiro nome, nome próprio, nome de batismo, nome proprio
            voornaam, voornamen, roepnaam, imię, imiona, имя отчество, fornavn, förnamn, tilltalsnamn
            etunimi, keresztnév, utónév, prenume, křestní jméno, křestní, ön ad, όνομα, 名, 名（漢字）
            名 漢字, ファーストネーム, first name 名, given name 名, 이름 first, שם פרטי, الاسم الأول
            first nm, christian name, preferred first name, legal first name, krstné meno
            """
        ),
    },
    "last_name": {
        10: _lines(
            """
            last name, lastname, name last, surname, surnames, family name, familyname, lname,
            last, sname, family
            nachname, nachnamen, familienname, zuname, nom de famille, patronyme, nom usuel, apellido
            apellidos, primer apellido, cognome, sobrenome, apelido, apelidos, último nome
            nome de família, achternaam, familienaam, nazwisko, nazwiska, фамилия, фамилии, příjmení
            priezvisko, efternavn, etternavn, efternamn, sukunimi, vezetéknév, családnév, nume de familie
            prezime, soyad, soyadı, soyisim, επώνυμο, 姓, 姓（漢字）, 姓 漢字, 苗字, ラストネーム, 성
            성씨, שם משפחה, اسم العائلة, прізвище, legal last name
            """
        ),
    },
    "full_name": {
        10: _lines(
            """
            full name, fullname, complete name, first and last name, first last name, first last
            name full, first name last name, vor und nachname, vor nachname, vollständiger name, vollname
            voller name, vorname nachname, vorname name, name vorname, nachname vorname, nom complet
            nom et prénom, nom et prénoms, prénom et nom, nom prénom, prénom nom, nombre completo
            nombre y apellidos, nombre y apellido, nombre apellidos, apellidos y nombre
            nombres y apellidos, nome completo, nome e cognome, cognome e nome, nome cognome, cognome nome
            nominativo, nome e sobrenome, volledige naam, voor en achternaam, naam volledig
            imię i nazwisko, nazwisko i imię, imię nazwisko, pełne imię i nazwisko, фио, ф и о
            фамилия имя, фамилия имя отчество, полное имя, имя и фамилия, имя фамилия, піб, 氏名, お名前
            フルネーム, 姓名, 성명, 성함, ad soyad, adı soyadı, isim soyisim, jméno a příjmení, celé jméno
            teljes név, fullt navn, fullständigt namn, koko nimi, nume complet, nume și prenume
            ime i prezime, ονοματεπώνυμο, שם מלא, الاسم الكامل, الاسم, name surname, name and surname
            legal name
            """
        ),
        7: _lines(
            """
            display name, profile name, linkedin name, mitarbeiter, nom affiché, anzeigename
            """
        ),
        3: _lines(
            """
            candidate, applicant, kandidat, candidat, candidato, bewerber, кандидат, 候補者, 应聘者
            person
            """
        ),
    },
    "company": {
        10: _lines(
            """
            current company, current company name, current employer, current organization
            current organisation, aktuelles unternehmen, aktueller arbeitgeber, entreprise actuelle
            société actuelle, employeur actuel, empresa actual, azienda attuale, empresa atual
            huidige werkgever, huidig bedrijf, obecna firma, obecny pracodawca, текущая компания
            現在の会社, 現職, 現勤務先, 当前公司, 目前公司, 현재 회사
            """
        ),
        9: _lines(
            """
            company, company name, companyname, company 1, employer, employer name, organization
            organisation, organization name, organisation name, organization 1 name, organization 1, org
            org name, firm, business name, account name, account, associated company, primary company
            firma, firmenname, firmen, unternehmen, unternehmensname, arbeitgeber, organisation name
            société, entreprise, raison sociale, nom entreprise, nom société, employeur, organisme
            structure, établissement, empresa, compañía, nombre empresa, organización, empleador
            razón social, azienda, società, ragione sociale, ditta, datore lavoro, datore di lavoro
            organizzazione, nome azienda, impresa, organização, companhia, nome empresa, empregador
            bedrijf, bedrijfsnaam, werkgever, organisatie, naam bedrijf, przedsiębiorstwo, pracodawca
            nazwa firmy, organizacja, spółka, компания, организация, место работы, работодатель
            название компании, фирма, компанія, 会社, 会社名, 企業, 企業名, 勤務先, 勤務先名, 所属会社
            所属企業, 法人名, 貴社名, 御社名, 社名, 公司, 公司名称, 公司名稱, 单位, 工作单位, 单位名称
            企业名称, 회사, 회사명, 직장명, 소속, företag, företagsnamn, arbetsgivare, virksomhed
            firmanavn, selskap, bedrift, arbeidsgiver, yritys, työnantaja, cég, cégnév, munkáltató
            společnost, zaměstnavatel, spoločnosť, şirket, şirket adı, εταιρεία, חברה, الشركة, companie
            angajator, tvrtka, poduzeće
            """
        ),
        5: _lines(
            """
            workplace, last company, most recent company, latest company, company current, 所属
            """
        ),
    },
    "title": {
        10: _lines(
            """
            current title, current job title, current position, current role, title current
            aktuelle position, aktueller titel, poste actuel, fonction actuelle, puesto actual
            cargo actual, posizione attuale, ruolo attuale, cargo atual, huidige functie
            obecne stanowisko, текущая должность, 現在の役職, 当前职位, 目前职位
            """
        ),
        9: _lines(
            """
            job title, jobtitle, title 1, position title, role title, occupation title, organization title
            organisation title, organization 1 title, professional title, work title, berufsbezeichnung
            stellenbezeichnung, jobtitel, jobbezeichnung, positionsbezeichnung, dienststellung
            intitulé poste, titre poste, intitulé du poste, titre du poste, titre professionnel
            puesto trabajo, título del puesto, título puesto, título profesional, qualifica professionale
            titolo professionale, functietitel, functienaam, nazwa stanowiska, contact title
            """
        ),
        8: _lines(
            """
            title, poste, fonction, fonction hiérarchique, emploi, cargo, puesto, ruolo, mansione, functie
            stanowisko, должность, 役職, 役職名, 肩書, 肩書き, 职位, 職位, 职务, 職務, 職稱, 职称, 직책
            직위, 직함, 직급, befattning, yrkestitel, stilling, stillingsbetegnelse, tehtävänimike, nimike
            beosztás, munkakör, pozice, pracovní pozice, pozícia, ünvan, unvan, görev, θέση, תפקיד
            المسمى الوظيفي, المنصب, посада, funcție, post, radno mjesto, função, funktion, designation
            stelle
            """
        ),
        7: _lines(
            """
            position, posición, posizione, posição, positie, pozycja, позиция, pozisyon, positions
            функция, qualifica, puesto o cargo, cargo o puesto
            """
        ),
        6: _lines(
            """
            role, rolle, rol, rôle, roll, current role, profession, beruf, profesión, professione
            profissão
            """
        ),
        5: _lines(
            """
            headline, occupation, ocupación, ocupação, occupazione, linkedin headline
            professional headline
            """
        ),
        2: _lines("titel, titre, título, titolo, tytuł, 職種"),
    },
}
