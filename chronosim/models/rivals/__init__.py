"""The models that ChronoEdit is compared with, as world models: change a name, and compare.

`if_edit` is IF-Edit, an image-to-video model made to edit; `editor` is any single-frame editor that
takes instructions. Importing this package stays light: PyTorch comes with its modules.
"""
