"""docs/reference, generated from the code: `make reference`, which is `python -m reference`. Not part of the wheel."""
