"""Episodes to look at: filmstrips, films and charts."""
