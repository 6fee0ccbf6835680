"""The parts of the screens: transcript, prompt, panel, charts, flame view, status line."""
