"""What the benchmark measured, as text."""

from rotdis.benchmark.encoding import PLAIN
from rotdis.benchmark.machine import Machine
from rotdis.benchmark.rotation import PASSES, Row
from rotdis.benchmark.training import Stage, Training
from rotdis.inference import BATCH


def of_machine(machine: Machine) -> str:
    """Returns what the machine can do at best."""
    return (
        f"{machine.backend}: {machine.device}; {machine.software}\n"
        f"float32 matrix product {machine.matmul_flops / 1e9:,.0f} GFLOP/s, "
        f"copy {machine.copy_bytes / 1e9:,.1f} GB/s"
    )


def of_rotation(rows: list[Row], machine: Machine) -> str:
    """Returns a table for every pass: milliseconds, and how many times ours each path takes."""
    texts = ["Rotating volumes: median ms (times ours); GB/s of what must be read and written"]
    for what in PASSES:
        of_pass = [row for row in rows if row.what == what]
        names = list(dict.fromkeys(name for row in of_pass for name in row.seconds))
        lines = []
        for row in of_pass:
            ours = row.seconds["rotdis"]
            cells = [f"{row.batch}, {row.size}, {row.channels}", f"{1e3 * ours:.2f}"]
            for name in names[1:]:
                seconds = row.seconds.get(name)
                cells.append(seconds and f"{1e3 * seconds:.2f} ({seconds / ours:.2f}x)")
            share = row.bytes_per_second / machine.copy_bytes
            cells.append(f"{row.bytes_per_second / 1e9:.2f} ({share:.0%} of a copy)")
            lines.append(cells)
        headings = ["B, D, C", *names, "GB/s"]
        texts.append(f"{what}\n" + _table(lines, headings))
    return "\n" + "\n\n".join(texts)


def of_training(training: Training, machine: Machine) -> str:
    """Returns the step's speed and its stages."""

    def line(stage: Stage) -> list[str | None]:
        return [
            stage.name,
            f"{1e3 * stage.seconds:.1f}",
            f"{stage.seconds / training.single_seconds:.0%}",
            f"{stage.flops / 1e9:.2f}" if stage.flops else None,
            f"{stage.flops / stage.seconds / machine.matmul_flops:.0%}" if stage.flops else None,
        ]

    whole = Stage("step", training.single_seconds, training.flops)
    # Of a search operations are not counted, and what it turns to find poses is none of the parts.
    peak = f"{training.flops / training.seconds / machine.matmul_flops:.0%} of the matmul peak, "
    rotating = sum(stage.seconds for stage in training.rotating)
    text = (
        f"\nTraining step of {training.views} views: {training.views / training.seconds:.1f} "
        f"views/s, {peak if training.flops else ''}"
        f"{1e3 * training.seconds:.1f} ms; compiled in {training.compile_seconds:.0f} s, "
        f"{training.temporary_bytes / 2**20:.0f} MiB of temporary memory\n\n"
        "Each part as a program by itself:\n\n"
    )
    headings = ["stage", "ms", "of the step", "GFLOP", "of the matmul peak"]
    text += _table([line(stage) for stage in [whole, *training.stages]], headings)
    if training.matrix_share is not None:
        text += (
            f"\n\nin matrix products, of the time of all operations: {training.matrix_share:.0%}"
        )
    if training.rotating:
        text += (
            f"\n\nRotating volumes, with the gradients that the step needs: "
            f"{rotating / training.single_seconds:.1%} of the step"
            f"{'' if training.flops else ', besides those of the search'}\n\n"
        )
        text += _table([line(stage)[:3] for stage in training.rotating], headings[:3])
    return text


def of_loading(speeds: dict[str, float]) -> str:
    """Returns the speed of each loader."""
    lines = [[name, f"{speed:,.0f}"] for name, speed in speeds.items()]
    return "\nInput pipeline alone\n\n" + _table(lines, ["loader", "objects/s"])


def of_inference(speeds: dict[int, dict[str, float]]) -> str:
    """Returns the speed of each operation of a model."""
    lines = [
        [f"batch {count}", *(f"{speed:,.1f}" for speed in of_batch.values())]
        for count, of_batch in speeds.items()
    ]
    return "\nInference, objects/s\n\n" + _table(lines, ["", *next(iter(speeds.values()))])


def of_encoding(seconds: dict[str, float]) -> str:
    """Returns the time for an object by each way to find its pose."""
    plain = seconds[PLAIN]
    lines = [[name, f"{1e3 * each:.2f}", f"{each / plain:.1f}x"] for name, each in seconds.items()]
    return f"\nEncoding, one of a batch of {BATCH}\n\n" + _table(lines, ["", "ms", "times"])


def _table(lines: list[list[str | None]], headings: list[str]) -> str:
    align = ["left"] + ["right"] * (len(headings) - 1)
    from tabulate import tabulate  # of the extra `benchmark`

    return tabulate(lines, headings, disable_numparse=True, colalign=align, missingval="-")
