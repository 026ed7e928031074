"""World models over HTTP, and the services that word edits or judge them."""
