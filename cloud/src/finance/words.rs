//! Words of the API that are not the database's.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::renewals::Method;

/// How money came or went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub enum How {
    /// By M-Pesa.
    #[serde(rename = "M-Pesa")]
    Mpesa,
    /// By Airtel Money.
    #[serde(rename = "Airtel Money")]
    Airtel,
    /// In notes and coins.
    Cash,
    /// From or to the bank account.
    #[serde(rename = "Bank Transfer")]
    BankTransfer,
    /// By card.
    Card,
    /// Another way.
    Other,
}

impl From<How> for Method {
    fn from(how: How) -> Method {
        match how {
            How::Mpesa => Method::Mpesa,
            How::Airtel => Method::Airtel,
            How::Cash => Method::Cash,
            How::BankTransfer => Method::BankTransfer,
            How::Card => Method::Card,
            How::Other => Method::Other,
        }
    }
}

impl From<Method> for How {
    fn from(method: Method) -> How {
        match method {
            Method::Mpesa => How::Mpesa,
            Method::Airtel => How::Airtel,
            Method::Cash => How::Cash,
            Method::BankTransfer => How::BankTransfer,
            Method::Card => How::Card,
            Method::Other => How::Other,
        }
    }
}
