"""What a plugin implements: one module for each extension point, no behaviour of the daemon's own."""
