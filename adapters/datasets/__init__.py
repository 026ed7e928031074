"""Episodes to and from the formats of the field, one file each."""
