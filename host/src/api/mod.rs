//! Control socket: HTTP/1.1 over a Unix socket, and the client of it.
