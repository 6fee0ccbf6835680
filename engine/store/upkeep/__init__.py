"""Looking after the database: checks, repair, retention, backups, benchmark."""
