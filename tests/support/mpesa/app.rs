//! Merchants' applications at the provider.

/// A merchant's application at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// The consumer key.
    pub key: String,
    /// The consumer secret.
    pub secret: String,
    /// The paybill, or a till's store number.
    pub shortcode: String,
    /// The passkey of the short code.
    pub passkey: String,
    /// What kind of short code it is.
    pub kind: Kind,
    /// Which product of C2B the application has.
    pub c2b: C2b,
    /// Who may ask in the short code's name.
    pub initiator: String,
    /// His password.
    pub initiator_password: String,
}

/// The two products of C2B; an application has one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum C2b {
    /// Confirmations carry the payer's number.
    V1,
    /// Confirmations carry its SHA-256.
    V2,
}

/// What a short code is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A paybill.
    Paybill,
    /// A bank's paybill: the account may have 20 characters.
    Bank,
    /// A till; money goes to this till number.
    Till(String),
}

impl App {
    /// The application of the demo, known to every pretend M-Pesa.
    pub fn demo() -> App {
        App::paybill("174379")
    }

    /// An application for this paybill, with keys made from its number.
    pub fn paybill(shortcode: &str) -> App {
        App {
            key: format!("key-{shortcode}"),
            secret: format!("secret-{shortcode}"),
            shortcode: shortcode.to_owned(),
            passkey: format!("passkey-{shortcode}"),
            kind: Kind::Paybill,
            c2b: C2b::V2,
            initiator: format!("api-{shortcode}"),
            initiator_password: format!("initiator-{shortcode}"),
        }
    }
}
