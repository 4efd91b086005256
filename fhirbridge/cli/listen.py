"""`fhirbridge listen`: takes HL7 v2 results over MLLP, and says AA once a message lies sealed in the store."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Annotated

import typer

from fhirbridge.automation import logs
from fhirbridge.automation.stopping import TICK, stopping
from fhirbridge.cli import console
from fhirbridge.cli.app import app, working
from fhirbridge.cli.workplace import Workplace
from fhirbridge.errors import ConfigurationError
from fhirbridge.records.hl7v2.charset import is_known
from fhirbridge.records.hl7v2.listener import Limits, Listener
from fhirbridge.records.hl7v2.reader import Reading
from fhirbridge.records.hl7v2.tls import server_context
from fhirbridge.sync.pull.spool import Keeping


@app.command()
def listen(
    context: typer.Context,
    port: Annotated[
        int | None, typer.Option(metavar="PORT", help="Port to listen on; wins over hl7_port. 0 takes a free one.")
    ] = None,
) -> None:
    """Take HL7 v2 results over MLLP until Ctrl-C or SIGTERM. Messages wait in the spool, sealed, for the next pull.

    The first signal lets the message at hand be kept and answered; a second one ends the process at once.
    """
    with working(context, service=True, hl7_port=port) as place:
        if place.settings.hl7_port is None:
            raise ConfigurationError("no port is set to listen on: give --port PORT, or set hl7_port.")
        with ExitStack() as held:
            if place.metrics is not None and place.settings.metrics_port is not None:
                from fhirbridge.automation.metrics import served  # a tenth of a second, rarely needed

                served_at = served(place.metrics, place.settings.metrics_port, place.settings.metrics_address)
                logs.noting()("metrics_served", port=held.enter_context(served_at))
            stop = held.enter_context(stopping(logs.noting()))
            with listening(place):
                while not stop.is_set():
                    time.sleep(TICK)


@contextmanager
def listening(place: Workplace) -> Iterator[Listener]:
    """Listen as the settings say while the block runs, as a run of its own that ends with the counts of answers.

    Raises ConfigurationError for settings that cannot be used, before anything is listened to.
    """
    chosen = place.settings
    if chosen.hl7_charset is not None and not is_known(chosen.hl7_charset):
        raise ConfigurationError("setting 'hl7_charset' names a character set that is not read. See docs/hl7v2.md.")
    if chosen.hl7_tls_certificate is None and (chosen.hl7_tls_key or chosen.hl7_tls_ca):
        raise ConfigurationError("settings 'hl7_tls_key' and 'hl7_tls_ca' need 'hl7_tls_certificate'.")
    tls = None
    if chosen.hl7_tls_certificate is not None:
        tls = server_context(chosen.hl7_tls_certificate, chosen.hl7_tls_key, chosen.hl7_tls_ca)
    seal, store = place.seal, place.bound_store
    with place.run("listen") as run:
        keeping = Keeping(store=store, seal=seal, study=place.study.id, run=run.id)

        def keep(messages: Sequence[tuple[bytes, Reading]]) -> None:
            keeping.together(messages)
            for _, reading in messages:
                if reading.faults:
                    run.note("message_faulty", reason=reading.faults[0].rule)

        with Listener(
            keep,
            host=chosen.hl7_address,
            port=chosen.hl7_port or 0,
            tls=tls,
            assume=chosen.hl7_charset,
            processing=chosen.hl7_accept_processing,
            limits=Limits(
                connections=chosen.hl7_connections,
                frame_seconds=chosen.hl7_frame_seconds,
                idle_seconds=chosen.hl7_idle_seconds,
                longest=chosen.hl7_longest,
            ),
            on_failure=lambda error: run.note("message_not_kept", error=error),
        ) as listener:
            if place.metrics:
                place.metrics.listening(lambda: listener.counts, lambda: store.messages.counts(place.study.id))
            run.note("listener_started", port=listener.address[1])
            console.remark(f"listening for HL7 v2 on {listener.address[0]} port {listener.address[1]}")
            yield listener
        counts = {kind.lower(): count for kind, count in sorted(listener.counts.items())}
        run.note("listener_stopped", counts=counts)
        run.end("done", counts)
