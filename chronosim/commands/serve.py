"""Serves a world model over HTTP, for model=remote on another machine or in another program.

The protocol is two addresses and JSON with PNG frames (chronosim.models.serving.wire has it in
ten lines), so that other languages can ask, and a model of another language can be asked. It
listens at loopback alone unless there is a token; over a network, put a TLS proxy or an ssh tunnel
before it.

Examples:
    chronosim serve
    chronosim serve model=chronoedit-14b-turbo port=9000
    chronosim serve model=echo host=0.0.0.0 token_variable=WORLD_TOKEN
"""

from __future__ import annotations

import logging
import os
import sys

from chronosim.models.serving.http import check_token
from chronosim.models.serving.service import Service
from chronosim.settings.commands import Serve


def run(settings: Serve) -> None:
    """Runs the command until it is interrupted.

    Raises:
        ChronosimError: A setting that cannot work, or a model that cannot be had.
    """
    token = _token(settings.token_variable)  # before a large model is loaded
    service = Service(
        settings.model.make(),
        host=settings.host,
        port=settings.port,
        token=token,
        most_prompts=settings.most_prompts,
        timeout=settings.timeout,
    )
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    name = service.model.identity["name"]
    print(f"{name} at {service.url}: chronosim rollout model=remote model.url={service.url}")
    print("Ctrl-C ends it.", flush=True)
    with service:
        try:
            service.serve_forever()
        except KeyboardInterrupt:
            print("ended")


def _token(variable: str | None) -> str | None:
    if variable is None:
        return None
    token = os.environ.get(variable, "").strip()
    check_token(token, f"the environment variable {variable}")
    return token
