//! `/api/finance`.

pub mod accounts;
pub mod books;
pub mod closing;
pub mod expenses;
pub mod income;
pub mod reports;
pub mod sellers;
