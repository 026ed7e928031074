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
from typing import Any

from omegaconf import DictConfig

from chronosim.models.serving.http import check_token
from chronosim.models.serving.service import Service
from chronosim.settings.compose import make_part, whole_number

__all__ = ["run"]


def run(config: DictConfig) -> None:
    """Runs the command until it is interrupted.

    Raises:
        ChronosimError: A setting that cannot work, or a model that cannot be had.
    """
    port, most = whole_number(config, "port", 0), whole_number(config, "most_prompts", 1)
    timeout, token = whole_number(config, "timeout", 1), _token(config)
    service = Service(
        make_part(config, "model"),
        host=str(config.host),
        port=port,
        token=token,
        most_prompts=most,
        timeout=timeout,
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


def _token(config: DictConfig) -> str | None:
    variable: Any = config.token_variable
    if variable is None:
        return None
    token = os.environ.get(str(variable), "").strip()
    check_token(token, f"the environment variable {variable}")
    return token
