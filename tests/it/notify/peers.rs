//! Real peers: an Alertmanager and a mail server.
