"""Sections, and the page that they make."""
