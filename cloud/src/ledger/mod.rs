//! The books: the only way money moves.
//!
//! Money moves as transfers from a credit to a debit account, balanced by construction and never changed.
//! [`post`] writes an entry, its transfers and the wallet balances they give, all in one statement.
//! Insertion is not ordered, so nothing per tenant is locked; a leased sealer numbers what was committed
//! ([`seal`]) and chains it, and [`verify`] proves that nothing was touched since; [`check`] and [`prove`] do by
//! themselves, again and again. Words that name a person may
//! be blanked later ([`blank`]), by a line of the trail that says so; amounts never change. Days can be closed
//! ([`close`]): what is posted late is booked on the first open day, and its entry says of which day it is. What lists
//! and reports sum is kept by day ([`tallied`]).

mod account;
mod checks;
mod closing;
mod digest;
mod entry;
mod export;
mod floats;
mod read;
mod redact;
mod rows;
mod sealer;
mod store;
mod tallies;
mod tax;
mod verify;
mod watch;

pub use account::{Account, AccountCode, AccountType, CHART};
pub use closing::{Closing, close, closing, wait_for_postings};
pub use entry::{Entry, EntryKind, Leg, Transfer};
pub use export::{Export, is_sealed};
pub use floats::{
    FLOAT_USED_UP, Float, is_not_owed, is_seller, is_used_up, move_float, pay_commission,
    take_commission_back,
};
pub use read::{Statement, StatementLine, Total, statement, statement_of, totals};
pub use redact::{Blank, Blanked, VOUCHES, blank, vouch};
pub use rows::zone;
pub use sealer::{SEAL, seal, seal_all};
pub(crate) use store::{bind_posting, new_salt, posting_ctes};
pub use store::{open_wallet, open_wallets, post, post_all, seed_accounts};
pub use tallies::{Tallied, Tally, earned_with, tallied};
pub use tax::{Charged, Tax, given_back, split, total_tax};
pub use verify::{Finding, Progress, Report, Scope, VerifyError, is_tenant, verify};
pub use watch::{CHECK, PROVE, Proof, check, count_unproved, proof, prove, unproved};

/// Whether a statement failed because a wallet would have fallen below its floor.
pub fn is_overdrawn(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => database.constraint() == Some("wallet_not_below_floor"),
        _ => false, // sqlx's enum: nothing else names a constraint
    }
}
