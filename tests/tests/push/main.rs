//! What the exporter pushes, as receivers keep it, and what it does when they do not.

#[path = "../../../exporter/tests/common/certificates.rs"]
#[allow(unreachable_pub, reason = "it is a file of other tests")]
mod certificates;
mod decoded;
mod kept;
mod trouble;
