//! Real peers, hostile peers, properties across crates, latency benchmarks.
