"""Side by side with plain Celery, in one run, on one server. `python -m benchmarks` or `make bench`."""
