"""Measures what this machine makes of chronosim; each prints a table and keeps it as JSON."""
