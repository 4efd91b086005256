"""What Alembic runs: the migrations, in the transaction of the connection that ``Store.open`` hands over."""

from alembic import context

from fhirbridge.store import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    version_table=schema.REVISION_TABLE,
)
context.run_migrations()
