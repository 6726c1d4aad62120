"""MindSwarm Exec: runs agents' work on Celery and Redis."""
