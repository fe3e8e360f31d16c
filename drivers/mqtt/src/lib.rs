//! Strict MQTT 3.1.1 client: codec (bytes, pure), session (state machine, no sockets), transport (sockets, TLS).
