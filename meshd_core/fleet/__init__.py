"""Fleet sinks at work: a ring, batches, retries and a breaker for each."""
