"""Declaring: what a user's file says with `service`, `model`, `pipeline`, `step` and `resource`. See `inferloom.sdk`."""
