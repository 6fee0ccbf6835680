"""Exports of performance logs: tables, reports and documents, and rows in the format of llama-bench.

All are functions on a read-only connection that stream in constant memory. Messages, titles and system prompts are left out unless
selected.
"""
