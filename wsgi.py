"""The WSGI entry point: ``gunicorn wsgi:app`` or ``waitress-serve wsgi:app`` serve the API with the settings found."""

from fhirbridge import settings
from fhirbridge.api import create_app
from fhirbridge.cli.workplace import Workplace

app = create_app(lambda: Workplace(settings.read()).store)
