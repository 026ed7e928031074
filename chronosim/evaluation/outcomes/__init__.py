"""One held action: how near predicted outcomes come to the true ones; defects by name."""
