"""Storms rage on both databases."""

from tests.databases import database_url as database_url
from tests.databases import postgresql_server as postgresql_server
