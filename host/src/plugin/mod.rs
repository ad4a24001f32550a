//! Plugins: catalog, loader, trust, worker client, conversion to core types.
