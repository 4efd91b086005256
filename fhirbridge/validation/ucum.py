"""Tells whether a code is a UCUM unit, by UCUM's own grammar and table of unit symbols (https://ucum.org/ucum, 2.1)."""

from __future__ import annotations

import re
from functools import lru_cache

SYSTEM = "http://unitsofmeasure.org"

_PREFIXES = (
    *("Y", "Z", "E", "P", "T", "G", "M", "k", "h", "da", "d", "c", "m", "u", "n", "p", "f", "a", "z", "y"),
    *("Ki", "Mi", "Gi", "Ti"),
)
_METRIC_SYMBOLS = """
    m s g rad K C cd mol sr Hz N Pa J W A V F Ohm S Wb Cel T H lm lx Bq Gy Sv l L ar t bar u eV pc
    [c] [h] [k] [eps_0] [mu_0] [e] [m_e] [m_p] [G] [g] [ly] gf Ky Gal dyn erg P Bi St Mx G Oe Gb sb Lmb ph Ci R RAD REM
    cal_[15] cal_[20] cal_m cal_IT cal_th cal tex B Np B[SPL] B[V] B[mV] B[uV] B[10.nV] B[W] B[kW]
    m[H2O] m[Hg] st eq osm g% kat U [iU] [IU] bit By Bd mho
"""
_PLAIN_SYMBOLS = """
    10* 10^ [pi] % [ppth] [ppm] [ppb] [pptr] gon deg ' '' min h d a_t a_j a_g a wk mo_s mo_j mo_g mo AU
    [in_i] [ft_i] [yd_i] [mi_i] [fth_i] [nmi_i] [kn_i] [sin_i] [sft_i] [syd_i] [cin_i] [cft_i] [cyd_i] [bf_i] [cr_i]
    [mil_i] [cml_i] [hd_i] [ft_us] [yd_us] [in_us] [rd_us] [ch_us] [lk_us] [rch_us] [rlk_us] [fth_us] [fur_us] [mi_us]
    [acr_us] [srd_us] [smi_us] [sct] [twp] [mil_us] [in_br] [ft_br] [rd_br] [ch_br] [lk_br] [fth_br] [pc_br] [yd_br]
    [mi_br] [nmi_br] [kn_br] [acr_br] [gal_us] [bbl_us] [qt_us] [pt_us] [gil_us] [foz_us] [fdr_us] [min_us] [crd_us]
    [bu_us] [gal_wi] [pk_us] [dqt_us] [dpt_us] [tbs_us] [tsp_us] [cup_us] [foz_m] [cup_m] [tsp_m] [tbs_m]
    [gal_br] [pk_br] [bu_br] [qt_br] [pt_br] [gil_br] [foz_br] [fdr_br] [min_br]
    [gr] [lb_av] [oz_av] [dr_av] [scwt_av] [lcwt_av] [ston_av] [lton_av] [stone_av] [pwt_tr] [oz_tr] [lb_tr]
    [sc_ap] [dr_ap] [oz_ap] [lb_ap] [oz_m] [lne] [pnt] [pca] [pnt_pr] [pca_pr] [pied] [pouce] [ligne] [didot] [cicero]
    [degF] [degR] [degRe] [Cal] [Btu_39] [Btu_59] [Btu_60] [Btu_m] [Btu_IT] [Btu_th] [Btu] [HP]
    [den] [lbf_av] [psi] [in_i'H2O] [in_i'Hg] [PRU] [wood'U] [diop] [p'diop] %[slope] [mesh_i] [Ch] [drp] [hnsf'U] [MET]
    [hp'_X] [hp'_C] [hp'_M] [hp'_Q] [hp_X] [hp_C] [hp_M] [hp_Q] [kp_X] [kp_C] [kp_M] [kp_Q] [pH] [S] [HPF] [LPF]
    [CFU] [PFU] [BAU] [AU] [USP'U] [GPL'U] [MPL'U] [APL'U] [beth'U] [anti'Xa'U] [todd'U] [dye'U] [smgy'U] [bdsk'U]
    [ka'U] [knk'U] [tb'U] [CCID_50] [TCID_50] [EID_50] [FFU] [Lf] [D'ag'U] [FEU] [ELU] [EU] [PNU]
    [car_m] [car_Au] [smoot] [m/s2/Hz^0.5] [NTU] [FNU] bit_s circ sph b att
    [Amb'a'1'U] [mclg'U] [arb'U]
"""
_METRIC, _PLAIN = frozenset(_METRIC_SYMBOLS.split()), frozenset(_PLAIN_SYMBOLS.split())
_SYMBOL = re.compile(r"(?:10[*^]|(?:\[[^\[\]\s]*\]|[A-Za-z%_'])+)")
_EXPONENT = re.compile(r"[+-]?[0-9]+")
_NOTE = re.compile(r"\{[ -z|~]*\}")
_NUMBER = re.compile(r"[0-9]+")


@lru_cache(maxsize=4096)
def is_unit(code: str) -> bool:
    """Tell whether a code is written by UCUM's grammar (case-sensitive) with symbols that UCUM has."""
    at = _term(code, 1 if code.startswith("/") else 0, 0)
    return at == len(code)


def _term(code: str, at: int, depth: int) -> int:
    """Return where a term that begins here ends, or -1."""
    while True:
        at = _component(code, at, depth)
        if at < 0 or at >= len(code) or code[at] not in "./":
            return at
        at += 1


def _component(code: str, at: int, depth: int) -> int:
    if code.startswith("(", at):
        end = _term(code, at + 1, depth + 1) if depth < 20 else -1
        if end < 0 or not code.startswith(")", end):
            return -1
        note = _NOTE.match(code, end + 1)  # UCUM's own examples annotate what is in brackets: U/(10.g){feces}
        return note.end() if note else end + 1
    symbol = _SYMBOL.match(code, at)
    if symbol is not None:
        if not _is_symbol(symbol[0]):
            return -1
        exponent = _EXPONENT.match(code, symbol.end())
        end = exponent.end() if exponent else symbol.end()
    else:
        number = _NUMBER.match(code, at)
        end = number.end() if number else at
    note = _NOTE.match(code, end)
    end = note.end() if note else end
    return end if end > at else -1


def _is_symbol(text: str) -> bool:
    if text in _METRIC or text in _PLAIN:
        return True
    return any(text.startswith(prefix) and text[len(prefix) :] in _METRIC for prefix in _PREFIXES)
