"""A user's own pictures, as `mue predict` takes them; nothing heavy is imported yet."""

from mue_cli.data.pictures import Picture, Unreadable, find_pictures, read_pictures

__all__ = ["Picture", "Unreadable", "find_pictures", "read_pictures"]
