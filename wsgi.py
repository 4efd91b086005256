"""The WSGI entry point: ``gunicorn wsgi:app`` or ``waitress-serve wsgi:app`` serve the API with the settings found."""

import atexit
from contextlib import ExitStack

from fhirbridge import settings
from fhirbridge.automation import logs
from fhirbridge.cli.serving import application, settled
from fhirbridge.cli.workplace import Workplace

place = Workplace(settings.read())
lasting = ExitStack()  # what stays open as long as the process
lasting.callback(place.close)
atexit.register(lasting.close)
lasting.enter_context(logs.as_set(place.settings, service=True))
app = application(place)
settled()
