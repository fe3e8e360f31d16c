//! The protection process: wires, seals, starts, watches.
