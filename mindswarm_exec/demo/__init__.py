"""The demonstration: four agents survey Python code; a long execution is paused, its agent killed, and it goes on."""
