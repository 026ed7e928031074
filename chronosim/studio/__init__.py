"""The studio: a world model driven, forked, compared and saved in a web page."""
