"""The processes of a benchmark: the services that are compared, their Redis and PostgreSQL."""
