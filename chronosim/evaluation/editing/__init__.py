"""The metrics of papers on editing, of edits on disk."""
