"""Metrics as a file and as text: where evaluate's numbers leave for people and other programs."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from rotdis import atomic

# Columns of the per-class table: metric, heading, format.
_COLUMNS = (
    ("data/test_objects", "objects", "d"),
    ("reconstruction/iou", "IoU", ".3f"),
    ("reconstruction/sse", "SSE", ".1f"),
    ("pose/pair_median_deg", "pair deg", ".1f"),
    ("pose/pair_median_symmetric_deg", "sym deg", ".1f"),
    ("pose/pair_acc30", "acc@30", ".3f"),
    ("canonical/instance_iou", "inst IoU", ".3f"),
    ("canonical/category_median_deg", "cat deg", ".1f"),
    ("canonical/category_acc30", "cat@30", ".3f"),
    ("canonical/category_to_mode_deg", "mode deg", ".1f"),
    ("latent/nn1_accuracy", "nn1", ".3f"),
    ("latent/linear_probe_accuracy", "probe", ".3f"),
)


def write_metrics(path: str | Path, metrics: Mapping[str, float]) -> None:
    """Writes the metrics as JSON, sorted by name; readers see the old file or the whole new one.

    Raises:
        ValueError: a value is not a finite number.
    """
    wrong = sorted(name for name, value in metrics.items() if not math.isfinite(value))
    if wrong:
        raise ValueError(f"metrics that are not finite: {', '.join(wrong)}")
    plain = {name: int(v) if _is_count(name) else float(v) for name, v in metrics.items()}
    atomic.write(path, (json.dumps(plain, indent=2, sort_keys=True) + "\n").encode())


def format_table(metrics: Mapping[str, float]) -> str:
    """Returns the metrics as plain text: all overall values, then one line a class and a group."""
    overall = sorted(name for name in metrics if _scope(name) is None)
    lines = [_headline(metrics), ""]
    width = max(map(len, overall), default=0)
    lines += [
        f"  {name:<{width}}  {metrics[name]:>10.4g}" for name in overall if not _is_count(name)
    ]
    scopes = sorted({scope for scope in map(_scope, metrics) if scope is not None})
    columns = [column for column in _COLUMNS if any(f"{column[0]}/{s}" in metrics for s in scopes)]
    if columns:
        rows = [(scope.removeprefix("class/"), f"/{scope}") for scope in scopes]
        rows.append(("all", ""))
        lines += ["", *_class_table(metrics, columns, rows)]
    return "\n".join(lines)


def _class_table(
    metrics: Mapping[str, float], columns: list[tuple[str, str, str]], rows: list[tuple[str, str]]
) -> list[str]:
    width = max(len(title) for title, _ in rows)
    lines = ["  " + " " * width + "".join(f"{heading:>9}" for _, heading, _ in columns)]
    for title, suffix in rows:
        cells = ""
        for name, _, form in columns:
            value = metrics.get(name + suffix)
            if value is not None and _is_count(name):
                value = int(value)  # read from a file it may be a float
            cells += f"{'-' if value is None else format(value, form):>9}"
        lines.append(f"  {title:<{width}}{cells}")
    return lines


def _headline(metrics: Mapping[str, float]) -> str:
    objects = int(metrics.get("data/test_objects", 0))
    removed = int(metrics.get("data/test_duplicates_removed", 0))
    start = f"{objects} test objects" if objects else "No test objects are left to evaluate"
    return f"{start} ({removed} duplicates of training objects removed)"


def _scope(name: str) -> str | None:
    """Returns `class/NAME` or `group/NAME` of a metric of such a set, None of an overall one."""
    parts = name.split("/", 2)
    return parts[2] if len(parts) == 3 else None


def _is_count(name: str) -> bool:
    return name.startswith("data/")
