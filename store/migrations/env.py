"""What Alembic runs: on the connection of store.migrate, or, from its command line, on the settings' database."""

from alembic import context
from sqlalchemy import Connection

from store.database import Database
from store.settings import Settings
from store.tables import Table


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Table.metadata, render_as_batch=True, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


def _main() -> None:
    if given := context.config.attributes.get("connection"):
        _run(given)
        return
    with Database(Settings().database_url).session() as session:
        _run(session.connection())


_main()
