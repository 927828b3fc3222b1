"""Runs the migrations on the connection, and within the transaction, of whoever calls alembic (`migrate`)."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
