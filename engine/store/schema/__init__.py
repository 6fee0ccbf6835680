"""The tables and views of the database, and the steps from one version to the next."""
