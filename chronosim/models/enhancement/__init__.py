"""Prompt enhancement: a language model that sees the frame words an edit out before it is asked.

`Enhanced` is a world model around any other. Importing this package stays light; `endpoint` asks a
service over HTTP, and PyTorch comes with `local` and with `loading`.
"""

from chronosim.models.enhancement.enhanced import FORMS, Enhanced, Form, Writer

__all__ = ["FORMS", "Enhanced", "Form", "Writer"]
