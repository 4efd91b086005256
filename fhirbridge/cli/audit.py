"""`fhirbridge audit`: whether the trail of registries' access is whole, and who got what of a subject."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from fhirbridge.audit.disclosures import disclosures as disclosed
from fhirbridge.audit.verifying import Finding
from fhirbridge.audit.verifying import verify as check
from fhirbridge.cli import console
from fhirbridge.cli.app import AsJson, app, working
from fhirbridge.cli.subjects import numbered
from fhirbridge.errors import EXIT_REFUSED, InputError
from fhirbridge.release.pseudonyms import Pseudonyms
from mappings.patient import logical_id

audit = typer.Typer(help="The audit trail of registries' access.", no_args_is_help=True)
app.add_typer(audit, name="audit")


@audit.command("verify")
def verify(
    context: typer.Context,
    head: Annotated[
        str | None, typer.Option(metavar="HASH", help="The head that an earlier check printed, kept elsewhere.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every line of the trail, every file and the anchors. Exits 1 if anything was changed or taken away.

    Keep the head that it prints in another place: given with --head later, it shows that all before it is still there.
    """
    with working(context, as_json) as place:
        found = check(place.settings.audit_folder, place.audit_key, head)
        counts = {"files": found.files, "events": found.events, "anchors": found.anchors}
        if as_json:
            told = {"problems": found.problems, "remarks": found.remarks}
            lists = {name: [asdict(one) for one in those] for name, those in told.items()}
            console.emit({**counts, "keyed": found.keyed, "head": found.head, **lists})
        else:
            console.table("Audit trail", *counts, rows=[tuple(counts.values())])
            _tell(found.problems)
            console.say("Whole." if not found.problems else "Not whole.")
            console.say(f"head: {found.head}")
        if not as_json:
            for remark in found.remarks:
                console.remark(str(remark))
        if not found.keyed:
            console.remark("no audit_key is set: whoever can write to the folder can make the whole trail anew.")
        if found.problems:
            raise typer.Exit(EXIT_REFUSED)


@audit.command("disclosures")
def disclosures(
    context: typer.Context,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Subject number.")],
    as_json: AsJson = False,
) -> None:
    """List who got what of a subject: when, which registry, under which agreement, by which question, how many records.

    Needs the pseudonym key and the release key: the trail knows people by each registry's pseudonym alone.
    """
    with working(context, as_json) as place:
        folder, key, patient = place.settings.audit_folder, place.release_key, logical_id(subject, place.identity)
        if not folder.is_dir():
            raise InputError(f"audit_folder: {folder} is no folder, so nothing is known of any access.")
        found, doubtful = disclosed(
            folder, place.audit_key, lambda registry: Pseudonyms(key, registry).id("Patient", patient)
        )
        if not found:
            numbered(place, subject)  # a number mistyped must not look like somebody of whom nothing was disclosed
        if as_json:
            console.emit({"disclosures": [asdict(one) for one in found], "doubtful": len(doubtful)})
        else:
            columns = ("at", "registry", "client", "agreement", "interaction", "records", "query")
            rows = [tuple(asdict(one)[name] for name in columns) for one in found]
            console.table("Disclosures", *columns, rows=rows)
        if doubtful:
            console.remark(
                f"{console.many(len(doubtful), 'line')} of the trail cannot be trusted and may be missing here: "
                "`fhirbridge audit verify` says which."
            )
            raise typer.Exit(EXIT_REFUSED)


def _tell(problems: list[Finding]) -> None:
    for problem in problems:
        console.say(str(problem))
