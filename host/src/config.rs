//! Layers of configuration: files, environment and `--set` merged into a `Document` with places.
