"""Translators between the outside and chronosim, one file each."""
