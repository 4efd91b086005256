"""What `fhirbridge --help` lists: the commands by what somebody wants to do, in the order one needs them."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

PANELS: dict[str, dict[str, str]] = {
    "Begin": {
        "demo": "Run the main job end to end, on a hospital of its own.",
        "key": "Make the key that pseudonyms and ids are made with.",
        "definitions": "Put the FHIR R4 base definitions on this machine.",
        "study": "Look at the study file; read records of trial registries.",
        "dictionary": "Print the data dictionary of the study's tables.",
    },
    "Study records": {
        "ingest": "Load records: read, map to FHIR, validate, store.",
        "quarantine": "List what the last loading refused, and why.",
        "validate": "Validate FHIR resources against the profiles.",
        "export": "Write the study's data as tables.",
        "status": "Show what is stored, what waits, and what needs somebody.",
    },
    "To the hospital": {
        "plan": "Show what a push would do, before anything is sent.",
        "apply": "Do exactly what a saved plan says, or nothing.",
        "push": "Bring the hospital's server to what it should hold.",
        "reconcile": "Find what is missing, changed, doubled or foreign there.",
        "conflicts": "Decide on what others changed there.",
        "deadletters": "See what the hospital refused; try again or give up.",
    },
    "From the hospital": {
        "linking": "Say which subject is which person at the hospital.",
        "pull": "Ask for laboratory results, judge and record them.",
        "listen": "Take HL7 v2 results over MLLP.",
        "messages": "Load HL7 v2 messages; see what became of them.",
        "subscriptions": "Have the hospital's server tell of new results.",
        "laboratories": "See what laboratories' codes mean, and which do not yet.",
        "inbox": "Decide on results that wait for a person's yes.",
        "coverage": "Show which expected values are there, late or missed.",
        "replay": "Judge a pull again from what it was judged under.",
    },
    "Without being asked": {
        "run": "Do everything on schedule, in one process.",
        "worker": "Take jobs from the queue, on any number of machines.",
    },
    "For registries": {
        "registry": "Say which registries' systems may ask for data.",
        "serve": "Serve the FHIR API.",
        "audit": "Check who got what; show that nothing was taken from it.",
    },
}
"""By panel and command, one line that fits a terminal of 80 columns."""


class Contents(TyperGroup):
    """The root command; a command that is in no panel is listed before them, with the first lines of its own help."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        listed = {name: command for name, command in self.commands.items() if not _placed(name)}
        for panel, lines in PANELS.items():
            for name, line in lines.items():
                if (command := self.commands.get(name)) is None:
                    continue
                command.short_help = line
                command.rich_help_panel = panel  # type: ignore[attr-defined]  # of typer's commands and groups alike
                listed[name] = command
        self.commands = listed


def _placed(name: str) -> bool:
    return any(name in lines for lines in PANELS.values())
