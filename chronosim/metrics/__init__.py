"""Figures of frames: how far apart, how sharp, how likely, how well edited.

Importing this package stays light; PyTorch comes with the modules that need it.
"""
