"""Processes that keep time: beat (`beat`), and what its ticks do (`sweeps`, `rollups`)."""
