"""The parts of the documentation that are rendered from the code, by what they tell of."""
