"""What the service survives: a stream of good requests, and everything bad that happens beside it."""
