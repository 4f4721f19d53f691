//! Placeholder until the first member arrives.
