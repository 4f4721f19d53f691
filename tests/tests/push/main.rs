//! What the exporter pushes, as receivers keep it, and what it does when they do not.

mod decoded;
mod kept;
mod trouble;
