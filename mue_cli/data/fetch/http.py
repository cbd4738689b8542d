"""HTTP as downloads need it: which addresses may be followed, and what a server's answer says.

Only http and https are known, proxies included; urllib's own opener reads file:, ftp: and data:
too.
"""

import time
import urllib.parse
import urllib.request
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse

from mue_cli.data.problems import shown
from mue_cli.errors import DataError


def require_address(url: str) -> None:
    """Raise DataError for what cannot be an http or https address, before anything is asked."""
    try:
        parts = urllib.parse.urlsplit(url)
        is_address = (
            parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        )
    except ValueError:  # brackets that do not close, a port that is no number
        is_address = False
    if not is_address or not url.isascii() or not url.isprintable() or " " in url:
        raise DataError(
            f"{shown(url)} is no http or https address",
            hint="give a mirror as https://..., in ASCII; other characters as %XX",
        )


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follow a server to another http address, or from http up to https; nowhere else."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]  # as urllib has it
        before, after = req.type, urllib.parse.urlsplit(newurl).scheme
        if after != "https" and (before, after) != ("http", "http"):
            raise DataError(
                f"{req.full_url} sends on to {newurl}, which is not allowed",
                hint="give another address with --mirror",
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def opener() -> urllib.request.OpenerDirector:
    """Return what opens http and https addresses, through a proxy where one is set."""
    director = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        Redirects,
        urllib.request.HTTPErrorProcessor,
    ):
        director.add_handler(handler())
    return director


def validator_of(response: HTTPResponse) -> str | None:
    """Return what If-Range may name: a strong ETag, or the date of the last change."""
    etag = response.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def retry_after(value: str | None) -> float:
    """Return the seconds that a Retry-After header asks for, given as a number or a date; 0 when it
    asks for none.
    """
    if value is None:
        return 0.0
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0
