//! A payer pays by M-Pesa; callbacks repeat, lie, come late or never, and money moves exactly once.

mod callbacks;
mod gateways;
mod manual;
mod prompts;
mod provider_down;
mod queries;
mod reviews;
mod world;
