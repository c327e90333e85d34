"""Engine: run many generations on one decoder. Imports no web framework."""
