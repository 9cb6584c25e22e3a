"""The last stage: one self-contained page, `W/report.html`, that shows how well a run worked."""

from rotdis.report.page import write_report

__all__ = ["write_report"]
