"""The WSGI entry point: ``gunicorn wsgi:app`` or ``waitress-serve wsgi:app`` serve the API with the settings found."""

from contextlib import ExitStack

from fhirbridge import settings
from fhirbridge.api import create_app
from fhirbridge.automation import logs
from fhirbridge.cli.workplace import Workplace

place = Workplace(settings.read())
lasting = ExitStack()  # what stays open as long as the process
lasting.enter_context(logs.as_set(place.settings, service=True))
app = create_app(
    lambda: place.store,
    standing=place.standing,
    metrics=place.metrics.text if place.settings.metrics and place.metrics else None,
    also=(*place.notified_routes, *place.inbox_routes),
)
