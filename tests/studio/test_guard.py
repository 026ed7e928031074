from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from chronosim.models.serving.http import is_loopback

if TYPE_CHECKING:
    from tests.studio.conftest import Served


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "localhost:1", "[::1]:80"])
def test_this_machine_is_served(host: str, served: Served) -> None:
    assert served.ask("/api/choices", headers={"Host": host}).status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "", "["])
def test_a_name_bent_to_this_machine_is_not(host: str, served: Served) -> None:
    refused = served.ask("/api/choices", headers={"Host": host})
    assert refused.status in (400, 403)
    assert b"carracing" not in refused.body


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1"])
def test_other_pages_are_refused(origin: str, served: Served) -> None:
    headers = {"Host": f"localhost:{served.port}", "Origin": origin}
    refused = served.ask("/api/sessions", {}, headers)
    assert refused.status == 403
    assert refused.json == {"error": "requests from other pages are refused"}
    assert len(served.studio.sessions) == 0


def test_its_own_page_is_not(served: Served) -> None:
    host = f"localhost:{served.port}"
    assert served.ask("/", headers={"Host": host, "Origin": f"http://{host}"}).status == 200


def test_a_token_is_asked_of_everyone_once(serve: Callable[..., Served]) -> None:
    served = serve(token="open sesame")
    for path in ("/", "/static/main.js", "/api/choices", "/?token=wrong", "/api/choices?token=%ff"):
        refused = served.ask(path)
        assert refused.status == 403
        assert "asks for its token" in refused.json["error"]
    welcome = served.ask("/?token=open%20sesame", headers={"Host": "studio.example"})
    assert welcome.status == 303
    assert welcome.headers["location"] == "/", "the token leaves the address bar"
    cookie = welcome.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    known = {"Cookie": cookie.partition(";")[0], "Host": "studio.example"}
    assert served.ask("/api/choices", headers=known).status == 200
    assert served.ask("/api/choices", headers={**known, "Origin": "http://x.example"}).status == 403
    assert served.ask("//evil.example/?token=open%20sesame").headers["location"] == "/"


def test_no_other_page_may_show_or_feed_it(served: Served) -> None:
    policy = served.ask("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy


def test_which_names_are_loopback() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.9.9.9", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "example.org", "192.168.0.1", "")))
