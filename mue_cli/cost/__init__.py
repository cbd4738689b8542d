"""What exits save: layers (Eq. 14), operations, time."""
