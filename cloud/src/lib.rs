//! Cloud.
