//! Cloud.
fn main() {}
