"""Exports of performance logs: tables for other tools, pages for people, rows in the format of llama-bench.

Everything here is plain functions on a read-only connection that stream in constant memory. Messages, titles and system prompts stay
behind unless they are asked for.
"""
