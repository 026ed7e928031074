"""What this machine makes of chronosim, beside what others make of it."""
