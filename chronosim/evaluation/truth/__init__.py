"""What truly happens: moments and recordings, of a reference simulator or recorded by others."""
