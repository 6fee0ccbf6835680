"""The screens and dialogs. Each talks to the session, never to the engine room behind it."""
