//! Accounts, sessions and permissions: who is asking, and may he.

mod guard;
mod operator;
pub mod sessions;

pub use crate::permission::{Permission, PermissionSet, Role};
pub use guard::guard;
pub use operator::Operator;
pub use sessions::Token;
