//! A simulated plant: Modbus devices, an MQTT sensor, a machine with physics, an embedded broker for demonstrations.
