"""Tells whether a printed test name and a LOINC name can be the same test, by what each says for certain.

Where both say something of one kind (antigen or antibody, which virus, DNA or RNA …) and say different things, code
and label contradict each other: copied code lists with a surface antibody under an antigen's code are common.
"""

from __future__ import annotations

import re
from functools import lru_cache

from fhirbridge.terminology.glyphs import folded, plain

_SIGNS: dict[str, dict[str, str]] = {
    "molecule": {
        "antigen": r"antigen\w*|\bag\b|hb[se] ?-?ag|抗原|антиген",
        "antibody": r"antibod(?:y|ies)|antikorper|anticorps|anticuerpos?|anticorpi|\bab\b|hb[sec] ?-?ab|\banti ?-? ?hb"
        r"|\banti ?-? ?h[cd]v|\bac anti|抗体|антител|\big[gm]\b",
        "nucleic acid": r"\b[dr]na\b|\ba[dr]n\b|h[bcd]v ?-?[dr]na|病毒载量|核酸|днк|рнк|viral load|viruslast"
        r"|charge virale|carga viral|carica virale",
    },
    "nucleic acid": {"DNA": r"\bdna\b|hbv ?-?dna|\badn\b|днк", "RNA": r"\brna\b|h[cd]v ?-?rna|\barn\b|рнк"},
    "part": {
        "surface": r"surface|hbs ?-?a[gb]|anti ?-? ?hbs|\bhbs\b|表面|oberflachen|поверхност",
        "core": r"\bcore\b|anti ?-? ?hbc|hbc ?-?a[gb]|\bhbc\b|核心|ядерн",
        "e": r"\be (?:ag|ab|antigen|antibody)\b|hbe ?-?a[gb]|anti ?-? ?hbe|\bhbe\b|e抗",
    },
    "virus": {
        "A": r"hepatitis a\b|\bhav\b|甲肝|甲型肝炎",
        "B": r"hepatitis be?\b|\bhbv|\bhb[sec](?:a[gb])?\b|\bvhb\b|乙肝|乙型肝炎|гепатит\w* [bв]\b|\bвгв\b",
        "C": r"hepatitis c\b|\bhcv|\bvhc\b|丙肝|丙型肝炎|\bвгс\b",
        "D": r"hepatitis d(?:elta)?\b|\bhdv|\bvhd\b|丁肝|丁型肝炎",
        "E": r"hepatitis e (?:virus|ab|ig)|\bhev\b|戊肝|戊型肝炎",
        "HIV": r"\bhiv|\bvih\b|艾滋|human immunodeficiency",
    },
    "enzyme": {
        "ALT": r"\balt\b|\balat\b|\bs?gpt\b|alanine|谷丙|丙氨酸|\bалт\b",
        "AST": r"\bast\b|\basat\b|\bs?got\b|aspartate|谷草|天门冬|天冬|\bаст\b",
        "GGT": r"\bg?ggt\b|gamma.?glutamyl|谷氨酰|\bггт\b",
        "ALP": r"\balp\b|alkaline phosphatase|碱性磷酸酶",
    },
    "bilirubin": {
        "total": r"bilirubin.total|total bili|\bt-?bil|总胆红素|bilirubine totale|gesamtbilirubin|bilirubin,? gesamt",
        "direct": r"bilirubin.(?:direct|glucuron|conjug)|direct bili|conjugated bili|\bd-?bil|直接胆红素|结合胆红素"
        r"|bilirubine (?:directe|conjuguee)|direktes bilirubin",
        "indirect": r"bilirubin.(?:indirect|non-glucuron)|\bindirect bili|unconjugated|间接胆红素|indirektes bilirubin",
    },
    "protein": {
        "albumin": r"\balbumin|白蛋白(?!/)|альбумин",
        "fetoprotein": r"fetoprotein|foetoproteine|\bafp\b|甲胎|фетопротеин",
        "creatinine": r"creatinin|kreatinin|肌酐|креатинин",
        "bilirubin": r"bilirubin|胆红素|билирубин",
        "platelets": r"platelet|thrombocyt|thrombozyt|血小板|тромбоцит|\bplt\b",
        "hepatitis": r"hepatitis|\bhbv|\bhcv|乙肝|丙肝|乙型肝炎|丙型肝炎|hb[sec]a[gb]",
    },
}  # fmt: skip


def contradict(label: str, name: str) -> str | None:
    """Return of what kind the two names say different things, None where they can be the same test."""
    left, right = _said(label), _said(name)
    for kind in _SIGNS:
        if left.get(kind) and right.get(kind) and not left[kind] & right[kind]:
            return kind
    return None


@lru_cache(maxsize=4096)
def _said(text: str) -> dict[str, frozenset[str]]:
    low = folded(plain(text))
    said = {
        kind: frozenset(meaning for meaning, pattern in meanings.items() if re.search(pattern, low))
        for kind, meanings in _SIGNS.items()
    }
    if "antibody" in said["molecule"]:  # an antibody to an antigen names both
        said["molecule"] -= {"antigen"}
    return said
