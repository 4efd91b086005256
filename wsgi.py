"""The WSGI entry point: ``gunicorn wsgi:app`` or ``waitress-serve wsgi:app`` serve the API with the settings found."""

from contextlib import ExitStack

from werkzeug.middleware.proxy_fix import ProxyFix

from fhirbridge import settings
from fhirbridge.api import create_app
from fhirbridge.automation import logs
from fhirbridge.cli.registries import door_of, door_routes
from fhirbridge.cli.workplace import Workplace

place = Workplace(settings.read())
lasting = ExitStack()  # what stays open as long as the process
lasting.enter_context(logs.as_set(place.settings, service=True))
app = create_app(
    lambda: place.store,
    standing=place.standing,
    metrics=place.metrics.text if place.settings.metrics and place.metrics else None,
    also=(*place.notified_routes, *place.inbox_routes, *door_routes(door_of(place))),
)
if place.settings.api_proxies:  # they say who asks; what the address of the API is, the settings say
    app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
        app.wsgi_app, x_for=place.settings.api_proxies, x_proto=0, x_host=0, x_port=0, x_prefix=0
    )
