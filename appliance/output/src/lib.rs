//! What moves a machine: run permit, stop, refresh, confirmation. State machines without sockets, and their connection.
