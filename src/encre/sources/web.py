"""HTTP as a polite client does it: proxies of the environment, redirects, patience with busy servers.

urllib3 does the work; here stand how long to wait, what counts as busy, and that Ctrl-C ends every wait.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError, ProxySchemeUnknown
from urllib3.response import BaseHTTPResponse
from urllib3.util import Retry, Timeout, make_headers, parse_url

from encre.errors import ConfigError
from encre.reproducibility import version

BUSY = (429, 500, 502, 503, 504)
_LONGEST_WAIT = 600.0


class RefusedError(Exception):
    """An address did not give the file; the text says what it answered."""


class StoppedError(Exception):
    """Someone asked to stop; what has come so far stays."""


class Web:
    """A client for many threads.

    Parameters
    ----------
    connect, read
        Seconds to wait for a connection, and for the next bytes of an answer.
    tries
        How often a busy server (429, 5xx) is asked again; it may say how long to wait (Retry-After), else the waits
        double from ``backoff`` seconds.
    wait
        Sleeps some seconds; a test gives one that does not.
    """

    def __init__(
        self,
        *,
        connect: float = 20,
        read: float = 60,
        tries: int = 5,
        backoff: float = 1.0,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self.backoff = backoff
        self._wait = wait
        self._stop = threading.Event()
        self._live: set[BaseHTTPResponse] = set()
        self._timeout = Timeout(connect=connect, read=read)
        self._retry = _Patience(
            total=None,
            connect=2,
            read=2,
            status=tries,
            redirect=10,
            other=0,
            status_forcelist=BUSY,
            raise_on_status=False,
            backoff_factor=backoff,
        ).of(self)
        self._headers = {"User-Agent": f"encre/{version()}", "Accept-Encoding": "identity"}
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._guard = threading.Lock()

    def open(
        self, address: str, *, method: str = "GET", headers: dict[str, str] | None = None, patient: bool = True
    ) -> BaseHTTPResponse:
        """Ask for an address; the body is not read yet. Close the answer with :meth:`close`.

        Parameters
        ----------
        address
            ``https://`` or ``http://``.
        method, headers
            Of the request.
        patient
            Whether to ask a busy server again.

        Raises
        ------
        RefusedError
            When no answer came, or none but "busy" for as long as is reasonable.
        StoppedError
            After :meth:`stop`.
        """
        self.check()
        pool = self._pool(address)
        try:
            response = pool.request(
                method,
                address,
                headers=self._headers | (headers or {}),
                preload_content=False,
                retries=self._retry if patient else Retry(0, redirect=10, raise_on_status=False),
                timeout=self._timeout,
            )
        except MaxRetryError as error:
            self.check()
            raise RefusedError(f"did not answer ({_reason(error.reason or error)})") from error
        except (HTTPError, OSError, ValueError) as error:
            self.check()
            raise RefusedError(f"did not answer ({_reason(error)})") from error
        with self._guard:
            self._live.add(response)
        return response

    def close(self, response: BaseHTTPResponse) -> None:
        """Done with an answer, read to its end or not."""
        with self._guard:
            self._live.discard(response)
        response.close()

    def pause(self, seconds: float) -> None:
        """Sleep, unless someone asked to stop."""
        if self._wait is not None:
            self._wait(seconds)
        else:
            self._stop.wait(seconds)
        self.check()

    def stop(self) -> None:
        """End every wait and every answer that is being read, in all threads."""
        self._stop.set()
        with self._guard:
            live = list(self._live)
        for response in live:
            with contextlib.suppress(Exception):  # it may have ended by itself
                response.shutdown()  # type: ignore[attr-defined]

    def check(self) -> None:
        """Raise :class:`StoppedError` when someone asked to stop."""
        if self._stop.is_set():
            raise StoppedError

    def _pool(self, address: str) -> urllib3.PoolManager:
        """The connections that lead to an address: straight, or through the proxy that the environment names."""
        parts = urlsplit(address)
        proxy = getproxies().get(parts.scheme) or getproxies().get("all") or ""
        if proxy and proxy_bypass(parts.netloc.rpartition("@")[2]):
            proxy = ""
        with self._guard:
            if proxy not in self._pools:
                self._pools[proxy] = _pool_through(proxy)
            return self._pools[proxy]


def _pool_through(proxy: str) -> urllib3.PoolManager:
    if not proxy:
        return urllib3.PoolManager(maxsize=16)
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    try:
        auth = parse_url(proxy).auth
        headers = make_headers(proxy_basic_auth=auth) if auth else None
        return urllib3.ProxyManager(proxy, maxsize=16, proxy_headers=headers)
    except (ProxySchemeUnknown, ValueError) as error:
        raise ConfigError(
            f"the proxy of the environment cannot be used: {error}",
            remedy="Set HTTPS_PROXY to one that begins with http:// or https://, or unset it.",
        ) from error


class _Patience(Retry):
    """urllib3's retries, with waits that can be interrupted and that tests can shorten."""

    web: Web

    def of(self, web: Web) -> Self:
        self.web = web
        return self

    def new(self, **changes: Any) -> Self:
        return super().new(**changes).of(self.web)

    def sleep(self, response: BaseHTTPResponse | None = None) -> None:
        asked = self.get_retry_after(response) if response is not None else None
        if asked is not None and asked > _LONGEST_WAIT:
            raise RefusedError(f"asks to come back in {asked:,.0f} s")
        failures = sum(one.redirect_location is None for one in self.history)
        doubled = min(self.backoff_factor * 2 ** max(failures - 1, 0), 60.0)
        self.web.pause(doubled if asked is None else asked)


def _reason(error: BaseException) -> str:
    """The last clause of a nested network error, without the objects that urllib3 prints."""
    text = str(error)
    for mark in (">: ", "): "):
        text = text.rpartition(mark)[2]
    return text.strip().rstrip(".") or type(error).__name__
