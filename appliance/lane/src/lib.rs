//! The tick: ingest, evaluate, vote, latch, drive. Pure: time and frames come in as arguments.
