"""How fast it is: `python -m rotdis.benchmark`, or `bash launch/benchmark.sh`."""
