"""What the fake provider serves: every surface of clients, one module each."""
