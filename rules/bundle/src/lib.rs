//! The bundle: the resolved plan a guard runs, its container, content hash and verification.
