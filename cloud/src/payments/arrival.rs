//! Money that came by itself: what is known of it, and of who paid it, whoever told.

use easyisp_shared::money::Cents;
use easyisp_shared::phone::PhoneNumber;
use easyisp_shared::time::Timestamp;

use super::mpesa::callback::is_receipt;

/// The most that M-Pesa could move at once, with room for the day it moves more. Who says more is no provider.
pub const MOST: Cents = Cents::whole(1_000_000);

/// Money that moved without our asking, or that we do not know the receipt of yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// The provider's receipt.
    pub receipt: String,
    /// How much: more than nothing, [`MOST`] at most.
    pub amount: Cents,
    /// When the provider says it moved.
    pub paid_at: Option<Timestamp>,
    /// What the payer typed as account, as he typed it; empty when nothing.
    pub reference: String,
    /// Who paid.
    pub payer: Payer,
    /// The payer's name.
    pub payer_name: Option<String>,
}

/// Who paid, as far as the provider tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Payer {
    /// His number.
    Number(PhoneNumber),
    /// The SHA-256 of his number, in lower-case hex.
    Hash(String),
    /// The beginning and the end of his number.
    Masked {
        /// The digits before the stars.
        first: String,
        /// The digits after them.
        last: String,
    },
    /// Nothing we can read.
    Unknown,
}

impl Payer {
    /// Reads what stands in `MSISDN`.
    pub fn read(text: &str) -> Payer {
        let text = text.trim();
        if let Some(number) = PhoneNumber::parse(text) {
            return Payer::Number(number);
        }
        if text.len() == 64 && text.bytes().all(|letter| letter.is_ascii_hexdigit()) {
            return Payer::Hash(text.to_ascii_lowercase());
        }
        let bare: String = text.chars().filter(|letter| *letter != ' ').collect();
        let digits = |part: &str| part.bytes().all(|letter| letter.is_ascii_digit());
        match (bare.split_once('*'), bare.rsplit_once('*')) {
            (Some((first, _)), Some((middle, last)))
                if bare.len() <= 15
                    && digits(first)
                    && digits(last)
                    && (3..=9).contains(&first.len())
                    && (2..=6).contains(&last.len())
                    && middle[first.len()..].bytes().all(|letter| letter == b'*') =>
            {
                Payer::Masked {
                    first: first.to_owned(),
                    last: last.to_owned(),
                }
            }
            (_, _) => Payer::Unknown,
        }
    }

    /// The SHA-256 of his number, as customers have it too.
    pub fn hash(&self) -> Option<String> {
        match self {
            Payer::Number(number) => Some(number.hash()),
            Payer::Hash(hash) => Some(hash.clone()),
            Payer::Masked { .. } | Payer::Unknown => None,
        }
    }

    /// What is shown as phone.
    pub fn shown(&self) -> Option<String> {
        match self {
            Payer::Number(number) => Some(number.as_str().to_owned()),
            Payer::Masked { first, last } => Some(format!("{first}*****{last}")),
            Payer::Hash(_) | Payer::Unknown => None,
        }
    }

    /// Whether this number may be his.
    pub fn may_be(&self, number: &str) -> bool {
        match self {
            Payer::Number(own) => own.as_str() == number,
            Payer::Hash(hash) => PhoneNumber::parse(number).is_some_and(|own| own.hash() == *hash),
            Payer::Masked { first, last } => {
                number.len() > first.len() + last.len()
                    && number.starts_with(first.as_str())
                    && number.ends_with(last.as_str())
            }
            Payer::Unknown => false,
        }
    }

    /// A pattern of SQL's `like` for his number; digits and `%` only.
    pub fn pattern(&self) -> Option<String> {
        match self {
            Payer::Number(number) => Some(number.as_str().to_owned()),
            Payer::Masked { first, last } => Some(format!("{first}%{last}")),
            Payer::Hash(_) | Payer::Unknown => None,
        }
    }
}

/// Why a report is not acted on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unreadable {
    /// Not the JSON that is documented.
    #[error("unreadable: {0}")]
    Json(String),
    /// No receipt, or none of the provider's form.
    #[error("TransID is no receipt")]
    Receipt,
    /// Nothing, less, or more than M-Pesa moves.
    #[error("TransAmount is no amount that M-Pesa moves: {0}")]
    Amount(String),
}

/// A receipt in the form in which it is kept.
pub fn receipt_of(text: &str) -> Option<String> {
    let text = text.trim();
    is_receipt(text).then(|| text.to_ascii_uppercase())
}

/// An amount that M-Pesa can have moved.
pub fn amount_of(text: &str) -> Result<Cents, Unreadable> {
    let amount = Cents::parse(text.trim()).ok();
    let possible = amount.filter(|amount| amount.is_positive() && *amount <= MOST);
    possible.ok_or_else(|| Unreadable::Amount(text.chars().take(40).collect()))
}

/// A name with single spaces; `None` when there is none.
pub fn name_of(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let name = words.join(" ");
    let seen = name.chars().filter(|letter| !letter.is_control());
    let name: String = seen.take(100).collect();
    (!name.is_empty()).then_some(name)
}

/// What a payer typed, without what no table takes and no list shows.
pub fn shortened(text: &str) -> String {
    let seen = text.trim().chars().filter(|letter| !letter.is_control());
    seen.take(64).collect()
}
