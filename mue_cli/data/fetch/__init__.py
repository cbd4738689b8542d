"""Files from the web: addresses, downloads, archives."""
