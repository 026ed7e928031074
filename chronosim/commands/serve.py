"""Serves a world model over HTTP, for model=remote on another machine or in another program.

All callers that wait are answered by one call of the model. The protocol is two addresses and JSON
with PNG frames (chronosim.models.serving.wire has it in ten lines, /openapi.json in full), so that
other languages can ask; /healthz, /readyz and /metrics (Prometheus) are there for who watches it.
It listens at loopback alone unless there is a token; over a network give a certificate= too, or put
a TLS proxy or an ssh tunnel before it. Needs: pip install 'chronosim[serve]'.

Examples:
    chronosim serve
    chronosim serve model=chronoedit-14b-turbo port=9000 most_prompts=4
    chronosim serve host=0.0.0.0 token_variable=WORLD_TOKEN certificate=me.crt private_key=me.key
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import ssl
import sys
from typing import TYPE_CHECKING

from chronosim.errors import InvalidConfig, MissingDependency
from chronosim.models.serving.http import check_token, is_loopback
from chronosim.settings.commands import Serve

if TYPE_CHECKING:
    from chronosim.models.serving.service import Service


def run(settings: Serve) -> None:
    """Runs the command until it is interrupted; what is asked by then is answered.

    Raises:
        ChronosimError: A setting that cannot work, or a model that cannot be had.
    """
    try:
        from chronosim.models.serving.server import listen
        from chronosim.models.serving.service import Service
    except ModuleNotFoundError as error:
        raise MissingDependency(
            f"chronosim serve needs {error.name}: pip install 'chronosim[serve]'"
        ) from error
    token, certificate = _token(settings.token_variable), _certificate(settings)
    with listen(settings.host, settings.port):
        pass  # an address that is taken is said before a large model is loaded
    service = Service(
        settings.model.make(),
        host=settings.host,
        port=settings.port,
        token=token,
        most_prompts=settings.most_prompts,
        most_waiting=settings.most_waiting,
        most_connections=settings.most_connections,
        timeout=settings.timeout,
        certificate=certificate,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(message)s")
    logging.getLogger("chronosim").setLevel(logging.INFO)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends it as Ctrl-C does
    try:
        service.run(ready=lambda: print(welcome(service, settings), flush=True))
    except KeyboardInterrupt:
        print("ended: what was being predicted has been answered")
    finally:
        signal.signal(signal.SIGTERM, before)


def welcome(service: Service, settings: Serve) -> str:
    """Which model is served where, and how it is asked."""
    told = ""
    if settings.token_variable is not None:
        told = f" model.token_variable={settings.token_variable}"
    url, tunnel = service.url, ""
    if not is_loopback(settings.host):
        shown = socket.gethostname() if settings.host in ("0.0.0.0", "::") else settings.host
        url = f"https://{shown}:{service.port}"
        if settings.certificate is None:
            url = f"http://127.0.0.1:{service.port}"
            tunnel = f"From elsewhere, first: ssh -N -L {service.port}:{url[7:]} {shown}\n"
    name = service.identity["name"]
    return (
        f"{name} at {service.url}\n{tunnel}"
        f"Ask it: chronosim rollout model=remote model.url={url}{told}\n"
        "Ctrl-C ends it: what is being predicted is answered first."
    )


def _certificate(settings: Serve) -> tuple[str, str] | None:
    """The files of the certificate and its key.

    Raises:
        InvalidConfig: One is there without the other, or they cannot be used.
    """
    files = (settings.certificate, settings.private_key)
    if files == (None, None):
        return None
    if None in files:
        raise InvalidConfig("certificate= and private_key= come together: a certificate has a key")
    certificate, key = map(str, files)
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        raise InvalidConfig(
            f"certificate={certificate} and private_key={key} are no PEM files that belong "
            f"together: {error}"
        ) from error
    return certificate, key


def _token(variable: str | None) -> str | None:
    if variable is None:
        return None
    token = os.environ.get(variable, "").strip()
    check_token(token, f"the environment variable {variable}")
    return token
