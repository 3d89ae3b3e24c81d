"""`inferloom check|apply|get|diff|history|rollback|delete`: documents of every kind, in one way."""
