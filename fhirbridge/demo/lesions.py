"""How a radiologist would read each lesion of the true course under LI-RADS v2018 (CT/MRI)."""

from __future__ import annotations

from fhirbridge.demo import assumptions as rate
from fhirbridge.demo.draws import Draws
from fhirbridge.demo.tumour import Benign, Nodule, TumourCourse, Zone
from fhirbridge.protocol.lirads import Aphe, Capsule, Washout, major_feature_category
from fhirbridge.records.types import Lesion


class Reading:
    """The radiologist's memory of one subject: lesion numbers in order of first sight, and earlier diameters."""

    def __init__(self, course: TumourCourse, draws: Draws) -> None:
        self._course = course
        self._draws = draws
        self._names: dict[Benign | Nodule | Zone, str] = {}
        self._sizes: dict[str, list[tuple[int, int]]] = {}

    def read(self, day: int, exams_since_detection: int | None) -> tuple[Lesion, ...]:
        """Return the lesions an exam on this study day reports, by lesion number.

        ``exams_since_detection`` is 0 for the exam that detects the recurrence and None before it.
        """
        course = self._course
        treated = exams_since_detection is not None and exams_since_detection > course.treatment_lag
        found = []
        if course.zone:
            found.append(self._zone(course.zone, day, exams_since_detection is not None, treated))
        found += [self._benign(benign) for benign in course.benign if day >= benign.from_day]
        for nodule in course.nodules if course.route != "local" else ():
            lesion = self._nodule(nodule, day, exams_since_detection is not None, treated)
            if lesion is not None:
                found.append(lesion)
        return tuple(sorted(found, key=lambda lesion: lesion.lesion))

    def _name(self, what: Benign | Nodule | Zone) -> str:
        return self._names.setdefault(what, f"L{len(self._names) + 1:02d}")

    def _zone(self, zone: Zone, day: int, recurred: bool, treated: bool) -> Lesion:
        name = self._name(zone)
        if recurred and not treated and self._course.route == "local":
            size = self._course.nodules[0].size_mm(day - self._course.event_day)
            return Lesion(
                lesion=name, category="LR-TR-V", segment=zone.segment, size_mm=size, aphe="nonrim",
                washout="nonperipheral", capsule="absent", treated=True,
            )  # fmt: skip
        category = self._draws.pick(
            (
                ("LR-TR-NE", rate.ZONE_NONEVALUABLE),
                ("LR-TR-E", rate.ZONE_EQUIVOCAL),
                ("LR-TR-NV", 1 - rate.ZONE_NONEVALUABLE - rate.ZONE_EQUIVOCAL),
            )
        )
        size_mm = None if category == "LR-TR-NE" else zone.size_mm(day)
        return Lesion(lesion=name, category=category, segment=zone.segment, size_mm=size_mm, treated=True)

    def _benign(self, benign: Benign) -> Lesion:
        name = self._name(benign)
        size = benign.size_mm + self._draws.pick(((-1, 0.1), (0, 0.8), (1, 0.1)))
        if self._draws.chance(rate.DEGRADED_IMAGE):
            return Lesion(lesion=name, category="LR-NC", segment=benign.segment)
        return Lesion(
            lesion=name,
            category=benign.category,
            segment=benign.segment,
            size_mm=size,
            aphe="nonrim" if benign.enhancing else "none",
            washout="absent",
            capsule="absent",
            threshold_growth=False,
            tumor_in_vein=False,
            ancillary_malignant=False,
            ancillary_benign=not benign.enhancing,
        )

    def _nodule(self, nodule: Nodule, day: int, recurred: bool, treated: bool) -> Lesion | None:
        size = nodule.size_mm(day - self._course.event_day)
        if treated and nodule.route != "vein":
            category = self._draws.pick(rate.RESPONSE)
            return Lesion(lesion=self._name(nodule), category=category, segment=nodule.segment, treated=True)
        if recurred:
            return self._recurrent(nodule, day, size)
        if nodule.route == "precursor" and size >= rate.PRECURSOR_VISIBLE_MM:
            return self._precursor(nodule, day, size)
        return None

    def _recurrent(self, nodule: Nodule, day: int, size: int) -> Lesion:
        name = self._name(nodule)
        growth = self._grew(name, day, size)
        aphe: Aphe = "rim" if nodule.route == "targetoid" else "nonrim"
        washout: Washout = "peripheral" if nodule.route == "targetoid" else "nonperipheral"
        capsule: Capsule = "enhancing" if nodule.capsule and nodule.route in ("new", "precursor") else "absent"
        if nodule.route == "targetoid":
            category = "LR-M"
        elif nodule.route == "vein":
            category = "LR-TIV"
        else:
            category = major_feature_category(size, aphe, washout, capsule, growth)
        return Lesion(
            lesion=name,
            category=category,
            segment=nodule.segment,
            size_mm=size,
            aphe=aphe,
            washout=washout,
            capsule=capsule,
            threshold_growth=growth,
            tumor_in_vein=nodule.route == "vein",
            ancillary_malignant=nodule.ancillary,
            ancillary_benign=False,
        )

    def _precursor(self, nodule: Nodule, day: int, size: int) -> Lesion:
        """Report what will recur as LR-5 still without washout; arterial enhancement, too, comes last.

        Until the event no exam may reach LR-5, so an observation that would (say, growing and enhancing at 10 mm)
        is read as not yet enhancing, which caps it at LR-4.
        """
        name = self._name(nodule)
        growth = self._grew(name, day, size)
        capsule: Capsule = "enhancing" if nodule.capsule else "absent"
        aphe: Aphe = "nonrim"
        if major_feature_category(size, aphe, "absent", capsule, growth) == "LR-5":
            aphe = "none"
        return Lesion(
            lesion=name,
            category=major_feature_category(size, aphe, "absent", capsule, growth),
            segment=nodule.segment,
            size_mm=size,
            aphe=aphe,
            washout="absent",
            capsule=capsule,
            threshold_growth=growth,
            tumor_in_vein=False,
            ancillary_malignant=False,
            ancillary_benign=False,
        )

    def _grew(self, name: str, day: int, size: int) -> bool:
        """Tell threshold growth against every earlier diameter of the last six months, and remember this one."""
        earlier = self._sizes.setdefault(name, [])
        grew = any(
            day - then <= rate.THRESHOLD_GROWTH_DAYS and size >= rate.THRESHOLD_GROWTH_FACTOR * was
            for then, was in earlier
        )
        earlier.append((day, size))
        return grew
