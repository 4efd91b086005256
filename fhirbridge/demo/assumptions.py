"""Every rate and size behind the synthetic cohort, in one place, with its unit and where it comes from.

A number marked *assumption* has no source but a clinician's sense of what is plausible; docs/synthetic-cohort.md
discusses them. None of this is data about real people.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

# Calendar. The registered trial has hardly begun, so the demo's lies in the past, where all follow-up is over.
FIRST_INDEX = dt.date(2021, 3, 1)
"""Day the first subject can start (a Monday)."""
ENROLMENT_DAYS = 548
"""Enrolment lasts 18 months (assumption)."""
AS_OF = dt.date(2025, 12, 31)
"""Default data cut: after every subject's last visit."""
CONSENT_TO_ENROLMENT_DAYS = (0, 5)
ENROLMENT_TO_INDEX_DAYS = (2, 12)

# People.
AGE_MEAN_YEARS = 54.0
AGE_SD_YEARS = 9.5
AGE_RANGE_YEARS = (18.0, 70.9)
"""Inclusion criterion I1, 18 to 70 completed years at consent; mean and spread are assumptions."""
MALE = 0.85
"""Share of men: HBV-related liver cancer in China is four to six times as frequent in men (assumption)."""
RESECTED = 0.6
"""Share treated by resection; the rest by ablation (assumption)."""

# Arm, by physician's choice: the log odds of peginterferon. Assumptions, mild on purpose.
PEG_LOG_ODDS = -0.02
PEG_LOG_ODDS_PER_DECADE_YOUNGER = 0.25
PEG_LOG_ODDS_PER_LOG10_HBSAG = 0.20

# Recurrence: hazard = piecewise baseline x the ratios below.
HAZARD_RATIO = 0.6
"""Planted: peginterferon added against analogues alone, given age and HBsAg (the trial's design value)."""
HAZARD_RATIO_PER_DECADE = 1.15
HAZARD_RATIO_PER_LOG10_HBSAG = 1.10
"""Prognostic covariates of the registered Cox model; sizes are assumptions."""
EARLY_YEARS = 2.0
"""Recurrence within two years is customarily called early."""
EARLY_HAZARD_PER_YEAR = 0.257
LATE_HAZARD_PER_YEAR = 0.180
"""Analogues alone: 1 - exp(-(2 x 0.257 + 0.180)) = 50 % in three years; the registry record says 40 to 70 %."""

# How a recurrence shows. Shares are assumptions.
Route = Literal["new", "precursor", "local", "vein", "targetoid"]
ROUTES: tuple[tuple[Route, float], ...] = (
    ("new", 0.57),
    ("precursor", 0.25),
    ("local", 0.11),
    ("vein", 0.03),
    ("targetoid", 0.04),
)
MULTIFOCAL = 0.18
"""Share of recurrences with a second nodule."""
DOUBLING_MEDIAN_DAYS = 125.0
DOUBLING_LOG_SD = 0.6
DOUBLING_RANGE_DAYS = (45.0, 540.0)
"""Volume doubling: pooled 4.6 months, 4.1 in Asian studies, a third under 3 months (Nathani, Gut 2021;70:401).
Diameter grows with a third of the volume's exponent."""
NEW_NODULE_MM = (10.0, 13.0)
"""Diameter at which a nodule becomes discernible (assumption); LR-5 needs 10 mm."""
PRECURSOR_EVENT_MM = (12.0, 20.0)
PRECURSOR_VISIBLE_MM = 6.0
"""A precursor is reported as LR-3 or LR-4 from this diameter until it recurs as LR-5 (assumption)."""
SATELLITE_FRACTION = (0.8, 1.0)
"""A second nodule's diameter against the first one's; never under 10 mm."""
LARGEST_MM = 120
CAPSULE = 0.45
ANCILLARY_MALIGNANT = 0.4
TREATMENT_LAG_EXAMS = ((0, 0.65), (1, 0.25), (2, 0.10))
"""Further exams that see a recurrence before it is treated (assumption)."""
RESPONSE = (("LR-TR-NV", 0.82), ("LR-TR-E", 0.08), ("LR-TR-V", 0.10))
"""Treatment response of a treated recurrence (assumption)."""

# What else an MRI shows. Assumptions.
MARGIN_REPORTED = 0.35
"""Share of resected subjects whose resection margin is reported as a treated zone; an ablation zone always is."""
ABLATION_ZONE_MM = (28.0, 48.0)
MARGIN_ZONE_MM = (10.0, 18.0)
ZONE_SHRINKS_PER_WEEK = 0.010
ZONE_SMALLEST_MM = 6
ZONE_EQUIVOCAL = 0.03
ZONE_NONEVALUABLE = 0.01
BENIGN_COUNT = ((0, 0.68), (1, 0.25), (2, 0.07))
BENIGN_KINDS = (("LR-1", 0.40), ("LR-2", 0.30), ("LR-3", 0.30))
BENIGN_MM = {"LR-1": (6, 30), "LR-2": (7, 15), "LR-3": (8, 15)}
BENIGN_FROM_BASELINE = 0.7
DEGRADED_IMAGE = 0.01
"""Share of benign observations an exam cannot categorise (LR-NC)."""
WHOLE_ABDOMEN = 0.10
"""Share of exams done as MRI of the abdomen, not of the liver alone."""
AMENDED_REPORT = 0.005

# Visits. Assumptions.
MISSED_VISIT = 0.045
MISSED_LABORATORY = 0.01
MISSED_IMAGING = 0.01
"""Only the one or the other was missed."""
OUT_OF_WINDOW = 0.06
LATE_SHARE = 0.75
"""Share of out-of-window visits that are late, not early."""
IN_WINDOW_SD_DAYS = 2.2
EARLY_BY_DAYS = (10, 18)
LATE_BY_DAYS = (9, 21)
IMAGING_AFTER_DAYS = ((0, 0.72), (1, 0.20), (2, 0.08))
LABORATORY_DAY_BEFORE = 0.12
DATE_WITHOUT_TIME = 0.03
"""Share of specimens whose time was not recorded."""

# Leaving, per subject and year. Assumptions.
WITHDRAWAL_PER_YEAR = 0.015
LOSS_PER_YEAR = 0.020
DEATH_PER_YEAR = 0.006
DEATH_AFTER_RECURRENCE_PER_YEAR = 0.12
DEATH_AFTER_VEIN_INVASION_PER_YEAR = 0.70

# HBV DNA, log10 IU/mL. Assumptions.
DNA_SUPPRESSED = 0.5
"""Share whose analogue had already suppressed the virus at baseline."""
DNA_SUPPRESSED_MEAN, DNA_SUPPRESSED_SD = 0.3, 0.5
DNA_ACTIVE_MEAN, DNA_ACTIVE_SD = 3.6, 1.9
DNA_ACTIVE_RANGE = (1.0, 8.2)
DNA_BEYOND_ASSAY = 0.008
DNA_BEYOND_ASSAY_LOG10 = (8.4, 9.0)
"""Share of baselines above the assay's upper limit."""
DNA_FIRST_FALL = (2.4, 3.6)
DNA_FIRST_FALL_WEEKS = 4.0
"""Time constant of the fast first phase."""
DNA_SECOND_FALL_PER_WEEK = (0.04, 0.09)
DNA_FLOOR = -0.05
DNA_NOISE_SD = 0.12
DNA_UNDETECTED_MIDPOINT, DNA_UNDETECTED_STEEPNESS = 0.3, 4.0
"""Half of the specimens at 10^0.3 = 2 IU/mL read as not detected."""
BLIP = 0.012
BLIP_FROM_WEEK = 24
BLIP_LOG10 = (1.1, 2.3)
BLIP_RECHECK_DAYS = (14, 35)

# HBsAg, log10 IU/mL.
HBSAG_MEAN, HBSAG_SD = 2.8, 0.7
HBSAG_RANGE = (0.7, 5.2)
"""Baseline in treated chronic hepatitis B (assumption)."""
HBSAG_SLOPE_PER_YEAR_MEAN, HBSAG_SLOPE_PER_YEAR_SD = 0.10, 0.05
"""Under analogues the decline is slow: no significant fall before year 5 in Kim, Clin Mol Hepatol 2013;19(4)."""
PEG_WEEKS = 48.0
"""Length of the peginterferon course; the registry record does not give it (assumption)."""
PEG_RESPONDER = 0.40
PEG_RESPONDER_FALL = (0.6, 1.5)
PEG_OTHER_FALL = (0.05, 0.40)
"""Additional fall over the course (assumption)."""
PEG_LOSS_LOG_ODDS = -1.4
PEG_LOSS_LOG_ODDS_PER_LOG10 = -1.0
"""HBsAg loss by week 156, likelier from a low start: about 20 % overall. Yan, Infect Drug Resist 2018;11:2001, saw
15 % of 26 at week 48 with peginterferon added to entecavir, none of 53 without; the longer term is an assumption."""
PEG_LOSS_WEEKS = (24.0, 72.0)
ANALOGUE_LOSS = 0.02
ANALOGUE_LOSS_WEEKS = (60.0, 150.0)
LOSS_REVERTS = 0.08
LOSS_REVERTS_AFTER_WEEKS = (16.0, 48.0)
HBSAG_AFTER_LOSS = -2.2
HBSAG_AFTER_REVERSION = -0.5
HBSAG_FLOOR_WITHOUT_LOSS = -1.0
HBSAG_NOISE_SD = 0.025
"""Assay imprecision of about 6 %."""

# Results without a value, and corrections: share of results. Assumptions.
NOT_PERFORMED = 0.006
HAEMOLYSED = 0.005
CORRECTED = 0.003

DAYS_PER_YEAR = 365.25
THRESHOLD_GROWTH_DAYS = 182
THRESHOLD_GROWTH_FACTOR = 1.5
"""LI-RADS v2018: at least 50 % larger within at most 6 months."""
