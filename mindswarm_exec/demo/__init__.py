"""The demonstration: four agents survey a tree of Python code while one of them is killed."""
