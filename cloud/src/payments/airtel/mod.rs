//! Airtel Money: all that only Airtel Africa's Open API knows ("Collection APIs", <https://developers.airtel.africa>).
//!
//! `client.rs` calls it, `answers.rs` reads, pure, what it says, `door.rs` is where it calls back. A call-back carries no
//! proof of who sent it: it only makes us ask. Nobody is told of money that payers send by themselves, and money is sent
//! back by hand in Airtel's own portal.

mod answers;
mod client;
pub(super) mod door;

use easyisp_shared::id::IntentId;
use easyisp_shared::phone::PhoneNumber;
use secrecy::SecretString;

use super::Payments;
use super::prompt::PromptError;
use super::store::gateways::{self, Keys};
use super::words::Env;
use crate::db::Tx;

pub use answers::{explain, receipt_of};
pub use client::Airtel;

/// An application at Airtel and its keys.
#[derive(Clone, Debug)]
pub struct Merchant {
    /// Which of Airtel's two worlds.
    pub env: Env,
    /// The client id.
    pub id: SecretString,
    /// The client secret.
    pub secret: SecretString,
}

impl Payments {
    /// The gateway's application, its keys opened.
    pub(super) async fn airtel_merchant(
        &self,
        tx: &mut Tx,
        keys: &Keys,
    ) -> Result<Merchant, PromptError> {
        let (id, secret) = gateways::client_keys(&self.secrets, tx, keys).await?;
        Ok(Merchant {
            env: keys.env,
            id,
            secret,
        })
    }
}

/// Whether a number is of a block that Airtel Kenya gives out. Who took his number to another network is asked there
/// when the request names the gateway.
pub fn has_number(phone: &PhoneNumber) -> bool {
    let block: u32 = phone.local()[..3].parse().unwrap_or_default();
    matches!(block, 100..=109 | 730..=739 | 750..=756 | 762 | 780..=789)
}

/// Our name of a prompt, which is Airtel's too.
pub fn name_of_prompt(id: IntentId) -> String {
    id.0.simple().to_string()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn numbers_are_known_by_their_block() {
        for (number, airtel) in [
            ("0733123456", true),
            ("0101123456", true),
            ("0785123456", true),
            ("0712345678", false),
            ("0110345678", false),
            ("0757123456", false),
            ("0768123456", false),
        ] {
            let phone = PhoneNumber::parse(number).unwrap();
            assert_eq!(has_number(&phone), airtel, "{number}");
        }
    }
}
