"""The database file: pragmas, connections and transactions."""
