"""Maintenance of the database: checks, repair, retention, backups, benchmark."""
