"""The `xchat` command and its subcommands. Textual is imported only when the screen is asked for."""
