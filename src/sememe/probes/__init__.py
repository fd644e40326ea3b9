"""What a representation favours, what can be decoded from it, and what it does not hear; see docs/probes.md."""
