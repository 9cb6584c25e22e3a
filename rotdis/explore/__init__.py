"""A local page on a trained model: turn an object, and see what the model makes of it.

objects -> session -> server -> page. What is shown is decided in `session`, one per browser tab,
and needs no browser; the page draws it with three.js.
"""
