"""Performance logs that leave the program: tables for other tools, pages for people, rows for llama-bench's readers.

Everything here is plain functions on a read-only connection that stream in constant memory. Messages, titles and system prompts stay
behind unless they are asked for.
"""
