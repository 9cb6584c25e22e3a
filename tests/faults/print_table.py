"""Prints the records of a run of the fault tests as a Markdown table: `print_table.py LOG`."""

import json
import sys
from pathlib import Path


def main(log: Path) -> None:
    """Reads the log that `record_fault` wrote."""
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    print("| fault | tries | outcome |\n| --- | --- | --- |")
    for row in sorted(rows, key=lambda row: row["fault"]):
        print(f"| {row['fault']} | {row['tries']:,} | {row['outcome']} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
