//! Where a customer sends money to by himself, as an invoice says it.

use super::store::gateways::{self, Keys};
use super::words::{GatewayType, SubType};
use crate::db::Tx;

/// What he types on his phone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PayTo {
    /// A paybill, and the account that he names: his own, or a bank's.
    Paybill {
        /// The paybill.
        number: String,
        /// The account.
        account: String,
    },
    /// A till, which asks for no account.
    Till {
        /// The till.
        number: String,
    },
}

/// Where somebody with this account number, at a hotspot or not, sends money to by M-Pesa: through the gateway that he
/// would be asked through on a number of M-Pesa's.
///
/// `None` = there is nothing that he could type: no gateway is on, there is only one of Airtel's, which takes prompts
/// alone, or only the platform's short code, which need not hear of what is sent unasked.
pub async fn pay_to(
    tx: &mut Tx,
    hotspot: bool,
    account_number: i32,
) -> sqlx::Result<Option<PayTo>> {
    let keys = gateways::choose(tx, hotspot, GatewayType::MpesaApi).await?;
    Ok(keys.and_then(|keys| typed(&keys, account_number)))
}

fn typed(keys: &Keys, account_number: i32) -> Option<PayTo> {
    if keys.platform || keys.kind == GatewayType::AirtelMoney {
        return None;
    }
    let number = keys.shortcode.clone();
    Some(match keys.sub_type {
        SubType::Buygoods => PayTo::Till { number },
        SubType::Paybill | SubType::Bank => PayTo::Paybill {
            number,
            account: keys
                .bank_account()
                .unwrap_or_else(|| account_number.to_string()),
        },
    })
}
