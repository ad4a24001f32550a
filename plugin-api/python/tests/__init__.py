"""The tests of the package itself."""
