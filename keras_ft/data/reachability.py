"""Reachability: find out in seconds whether a download can succeed."""

import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Collection

SECONDS = 3.0
# A proxy's way to say that it did not get through. Any other status shows
# that the host is there; whether it delivers is for the download to find out.
GATEWAY_FAILURES = {407, 502, 503, 504}


def unreachable(urls: Collection[str], seconds: float = SECONDS) -> str | None:
    """Ask the host of each address for one of its files, all at once.

    Goes through the proxies of the environment, as downloads do. The time
    limit holds for name resolution too, which has no limit of its own.

    Args:
        urls: Addresses of files; one per host is tried.
        seconds: How long to wait for all of them.

    Returns:
        Which host does not answer, and why, or `None`.
    """
    samples = {urllib.parse.urlsplit(url).netloc: url for url in urls}
    problems = {host: f"no answer in {seconds} s" for host in samples}

    def ask(host: str) -> None:
        problem = _ask(samples[host], seconds)
        if problem is None:
            del problems[host]
        else:
            problems[host] = problem

    threads = [
        threading.Thread(target=ask, args=(host,), daemon=True)
        for host in samples
    ]
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    found = sorted(problems.items())
    return ": ".join(found[0]) if found else None


def _ask(url: str, seconds: float) -> str | None:
    # A new opener, as urlopen keeps the proxies of its first use.
    opener = urllib.request.build_opener()
    try:
        with opener.open(url, timeout=seconds):
            return None
    except urllib.error.HTTPError as error:
        error.close()
        return str(error) if error.code in GATEWAY_FAILURES else None
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
