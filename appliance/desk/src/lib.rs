//! The process for people: supervises the guard, publishes MQTT alerts, speaks to the control socket.
