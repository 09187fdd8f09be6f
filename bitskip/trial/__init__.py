"""What a trial is: a value for every axis, its identity, what it does at which step, what it costs."""
