"""What `make bench` measures, on any folder in MMLongBench-Doc's form (see `python -m bench --help`)."""
