"""What a pull asks and judges under, as bytes that hold all of it: no file that is edited later has a say."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from fhirbridge import fhirjson
from fhirbridge.errors import StoreError
from fhirbridge.store import Store
from fhirbridge.study import Study
from fhirbridge.sync.pull.cases import Context
from fhirbridge.sync.pull.questions import Plan
from fhirbridge.terminology.laboratories import Laboratories, LaboratoryTest

FORM = 1
"""Of the bytes; a later one is thawed by what wrote it, or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """A context as it was; ``plan`` is what was asked (``Plan.as_dict``), None for a pull of messages alone."""

    context: Context
    plan: dict[str, Any] | None


def freeze(context: Context, plan: Plan | None) -> bytes:
    """Return the study with its schedule and policies, every row of the laboratories' files, the day, and the plan."""
    content = {
        "form": FORM,
        "study": _plain(context.study),
        "laboratories": _plain(context.laboratories.rows),
        "today": context.today.isoformat(),
        "mapping": context.mapping,
        "plan": plan.as_dict() if plan else None,
    }
    return fhirjson.dumps(content)


def thaw(frozen: bytes) -> Frozen:
    """Return what ``freeze`` wrote. Raises StoreError for bytes of another form."""
    content = fhirjson.loads(frozen)
    if content.get("form") != FORM:
        raise StoreError("this pull was frozen by another version of fhirbridge: replay it with that one.")
    try:
        context = Context(
            study=msgspec.convert(content["study"], Study),
            laboratories=Laboratories(msgspec.convert(content["laboratories"], tuple[LaboratoryTest, ...])),
            today=dt.date.fromisoformat(content["today"]),
            mapping=content["mapping"],
        )
    except (msgspec.ValidationError, KeyError) as error:
        raise StoreError(
            f"this pull was frozen by another version of fhirbridge ({error}): replay it with that one."
        ) from error
    return Frozen(context=context, plan=content["plan"])


def frozen_alike(store: Store, study: str, run: str) -> bool:
    """Say whether a run judges by the same study and laboratories as the last pull that was accounted for."""
    before = store.pulls.last_accounted(study, besides=run)
    if before is None:
        return False
    then, now = store.pulls.context(before), store.pulls.context(run)
    return then == now or _judged_by(then) == _judged_by(now)


def _judged_by(frozen: bytes) -> tuple[Any, ...]:
    content = fhirjson.loads(frozen)
    return content.get("form"), content.get("study"), content.get("laboratories")


def _plain(value: object) -> Any:
    return msgspec.to_builtins(value, builtin_types=(Decimal,))
