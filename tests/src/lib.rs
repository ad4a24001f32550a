//! What the end-to-end tests share: a running checkd, real servers, waiting for events.
