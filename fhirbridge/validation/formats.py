"""Knows code systems that are too large to list: by the shape of their codes, and by their one right URI."""

from __future__ import annotations

import re

from fhirbridge.validation import ucum

_LANGUAGES = (
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en"
    " eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik in io is it iu iw"
    " ja ji jv jw ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mo mr ms mt"
    " my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm"
    " sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
)
"""ISO 639-1; languages of three letters are too many to list, and longer ones were never registered."""

_CURRENCIES = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD "
    "CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GGP "
    "GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS IMP INR IQD IRR ISK JEP JMD JOD JPY KES KGS KHR KMF KPW "
    "KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN "
    "NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS "
    "SPL SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TVD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VEF "
    "VES VND VUV WST XAF XAG XAU XBA XBB XBC XBD XCD XDR XOF XPD XPF XPT XSU XTS XUA XXX YER ZAR ZMW ZWL"
)
"""ISO 4217, and the few others that R4's own list of currencies has."""

FORMATS = {
    "urn:ietf:bcp:13": re.compile(
        r"xml|json|ttl|[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+*-]*(\s*;.*)?"
    ),
    "urn:ietf:bcp:47": re.compile(
        rf"(?i:(?:(?:{'|'.join(_LANGUAGES.split())}|[a-z]{{3}})(?:-[a-z]{{3}}){{0,3}}(?:-[a-z]{{4}})?"
        r"(?:-(?:[a-z]{2}|[0-9]{3}))?(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*(?:-[a-wyz0-9](?:-[a-z0-9]{2,8})+)*"
        r"(?:-x(?:-[a-z0-9]{1,8})+)?|[xi](?:-[a-z0-9]{1,8})+))"
    ),
    "urn:iso:std:iso:4217": re.compile("|".join(_CURRENCIES.split())),
}
"""Code systems too large or too foreign to list, whose codes at least have a shape."""

ROOTS = (
    "http://snomed.info/sct",
    "http://loinc.org",
    ucum.SYSTEM,
    "http://www.nlm.nih.gov/research/umls/rxnorm",
)
"""Systems with one right URI (http://hl7.org/fhir/R4/terminologies-systems.html), often named with more behind it."""
MISNAMED = "^(?:" + "|".join(root.replace(".", "[.]") for root in ROOTS) + ")."


def shaped(system: str, code: str) -> bool:
    """Tell whether a code has the shape that codes of a system have."""
    if system == ucum.SYSTEM:
        return ucum.is_unit(code)
    pattern = FORMATS.get(system)
    return pattern is None or pattern.fullmatch(code) is not None
