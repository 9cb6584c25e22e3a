"""A local page on a trained model: turn an object, and see what the model makes of it.

objects -> session -> explorer -> server -> page. What is shown is decided in `session`, one for
each browser tab, without any browser; the page draws it with three.js.
"""
