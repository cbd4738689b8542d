"""A similarity as a colour and as a place on a scale: by the angle between the two states, so that
0.9 and 0.99 stay apart.

The colours are those of cividis (Nunez et al., 2018): nearly the same for colour-blind eyes, and in
grey darker is less.
"""

import math

Rgb = tuple[int, int, int]

# Every eighth of the map, from no similarity to full.
_CIVIDIS: tuple[Rgb, ...] = (
    (0, 34, 78),
    (18, 53, 112),
    (59, 73, 108),
    (87, 93, 109),
    (112, 113, 115),
    (138, 134, 120),
    (165, 157, 118),
    (200, 182, 99),
    (254, 232, 56),
)


def place(similarity: float) -> float:
    """Return where a cosine stands between no similarity (0, also below) and full (1): 1 - angle /
    90 degrees.
    """
    return 1.0 - min(math.acos(max(-1.0, min(1.0, similarity))) / (math.pi / 2), 1.0)


def colour(similarity: float) -> Rgb:
    """Return the colour of a cosine: dark blue for none, yellow for full similarity."""
    at = place(similarity) * (len(_CIVIDIS) - 1)
    low = min(int(at), len(_CIVIDIS) - 2)
    red, green, blue = (
        round(a + (b - a) * (at - low))
        for a, b in zip(_CIVIDIS[low], _CIVIDIS[low + 1], strict=True)
    )
    return red, green, blue


def ink(background: Rgb) -> Rgb:
    """Return black or white, whichever is easier to read on a colour (WCAG's contrast)."""
    return (0, 0, 0) if _luminance(background) > 0.179 else (255, 255, 255)


def css(colour: Rgb) -> str:
    """Return a colour as "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _luminance(colour: Rgb) -> float:
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (part / 255 for part in colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
