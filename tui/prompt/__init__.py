"""The prompt and its history."""
