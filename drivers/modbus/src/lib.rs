//! Strict Modbus/TCP client: codec (bytes, pure), session (state machine, no sockets), transport (sockets).
