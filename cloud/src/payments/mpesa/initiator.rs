//! What M-Pesa does at the word of a short code's initiator and answers later, to an address of ours: telling what
//! became of a payment, and sending money back.

use easyisp_shared::entropy::Entropy;
use easyisp_shared::money::Cents;
use rsa::pkcs8::DecodePublicKey;
use rsa::rand_core::{CryptoRng, Error as RandomError, RngCore};
use rsa::{Pkcs1v15Encrypt, RsaPublicKey};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::super::SubType;
use super::super::provider::ProviderError;
use super::daraja::{Daraja, Merchant, plain};

/// Who asks in a short code's name: his name, and his password as M-Pesa takes it.
#[derive(Clone, Debug)]
pub struct Initiator {
    name: String,
    credential: SecretString,
}

impl Initiator {
    /// Encrypts the password with M-Pesa's certificate (PEM or DER): RSA, PKCS#1 v1.5, then base64.
    ///
    /// # Errors
    /// In words, when that is no certificate with an RSA key that is long enough.
    pub fn new(
        name: String,
        password: &SecretString,
        certificate: &[u8],
        entropy: &Entropy,
    ) -> Result<Initiator, String> {
        let der = match x509_parser::pem::parse_x509_pem(certificate) {
            Ok((_, pem)) => pem.contents,
            Err(_) => certificate.to_vec(),
        };
        let (_, certificate) = x509_parser::parse_x509_certificate(&der)
            .map_err(|_| "it is no X.509 certificate in PEM or DER".to_owned())?;
        let key = RsaPublicKey::from_public_key_der(certificate.public_key().raw)
            .map_err(|_| "its key is no RSA key".to_owned())?;
        let password = password.expose_secret().as_bytes();
        let sealed = key.encrypt(&mut Random(entropy), Pkcs1v15Encrypt, password);
        let sealed = sealed.map_err(|_| "its key is too short for the password".to_owned())?;
        Ok(Initiator {
            name,
            credential: BASE64.encode(sealed).into(),
        })
    }
}

/// Our source of randomness, as the cipher takes it.
struct Random<'e>(&'e Entropy);

impl RngCore for Random<'_> {
    fn next_u32(&mut self) -> u32 {
        u32::from_le_bytes(self.0.bytes())
    }

    fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(self.0.bytes())
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), RandomError> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl CryptoRng for Random<'_> {}

/// Where an answer comes.
#[derive(Clone, Debug)]
pub struct ResultUrls {
    /// The answer itself.
    pub result: String,
    /// That M-Pesa did not come to it in time.
    pub time_out: String,
}

/// What is asked about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum About {
    /// A payment, by its receipt.
    Receipt(String),
    /// A request of ours, by the name that it has on both sides.
    Conversation(String),
}

/// A request that M-Pesa took: its two names of it. The answer has both.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Taken {
    /// The name that a request of ours has on both sides.
    pub originator_conversation_id: String,
    /// M-Pesa's own.
    pub conversation_id: String,
}

impl Daraja {
    /// Asks what became of a payment or of a request of ours. Asking does nothing to either.
    pub async fn ask_status(
        &self,
        merchant: &Merchant,
        initiator: &Initiator,
        about: &About,
        urls: &ResultUrls,
    ) -> Result<Taken, ProviderError> {
        let (receipt, conversation) = match about {
            About::Receipt(receipt) => (receipt.as_str(), ""),
            About::Conversation(name) => ("", name.as_str()),
        };
        let body = json!({
            "Initiator": initiator.name,
            "SecurityCredential": initiator.credential.expose_secret(),
            "CommandID": "TransactionStatusQuery",
            "TransactionID": receipt,
            "OriginatorConversationID": conversation,
            "PartyA": merchant.business_short_code(),
            "IdentifierType": identifier(merchant),
            "ResultURL": urls.result,
            "QueueTimeOutURL": urls.time_out,
            "Remarks": "Reconciliation",
            "Occasion": "",
        });
        let path = "/mpesa/transactionstatus/v1/query";
        taken(&self.call(merchant, path, &body).await?)
    }

    /// Sends the whole of a payment back. [`ProviderError::Silent`] = it may be under way; never ask again by itself.
    pub async fn reverse(
        &self,
        merchant: &Merchant,
        initiator: &Initiator,
        (receipt, amount): (&str, Cents),
        urls: &ResultUrls,
    ) -> Result<Taken, ProviderError> {
        let body = json!({
            "Initiator": initiator.name,
            "SecurityCredential": initiator.credential.expose_secret(),
            "CommandID": "TransactionReversal",
            "TransactionID": receipt,
            "Amount": amount.minor() / 100,
            "ReceiverParty": merchant.business_short_code(),
            "RecieverIdentifierType": "11",
            "ResultURL": urls.result,
            "QueueTimeOutURL": urls.time_out,
            "Remarks": "Refund",
            "Occasion": "",
        });
        taken(
            &self
                .order(merchant, "/mpesa/reversal/v1/request", &body)
                .await?,
        )
    }

    /// Sends money to a phone, under a name of ours that M-Pesa takes once. [`ProviderError::Silent`] = it may be under
    /// way; never ask again by itself.
    pub async fn pay_out(
        &self,
        merchant: &Merchant,
        initiator: &Initiator,
        name: &str,
        (phone, amount): (&str, Cents),
        urls: &ResultUrls,
    ) -> Result<Taken, ProviderError> {
        let body = json!({
            "OriginatorConversationID": name,
            "InitiatorName": initiator.name,
            "SecurityCredential": initiator.credential.expose_secret(),
            "CommandID": "BusinessPayment",
            "Amount": amount.minor() / 100,
            "PartyA": merchant.business_short_code(),
            "PartyB": phone,
            "Remarks": "Refund",
            "QueueTimeOutURL": urls.time_out,
            "ResultURL": urls.result,
            // The misspelling is theirs.
            "Occassion": "",
        });
        taken(
            &self
                .order(merchant, "/mpesa/b2c/v3/paymentrequest", &body)
                .await?,
        )
    }
}

/// To whom a settlement goes.
#[derive(Clone, Debug)]
pub struct Payee {
    /// A paybill, a till, or a bank's paybill.
    pub kind: SubType,
    /// Its number.
    pub number: String,
    /// The account there.
    pub account: Option<String>,
}

impl Daraja {
    /// Sends to another organisation's paybill or till what was collected for it; `of` = for which day, as it reads in
    /// both statements. M-Pesa takes no name of ours for it. [`ProviderError::Silent`] = it may be under way; never ask
    /// again by itself.
    pub async fn settle(
        &self,
        merchant: &Merchant,
        initiator: &Initiator,
        payee: &Payee,
        (amount, of): (Cents, &str),
        urls: &ResultUrls,
    ) -> Result<Taken, ProviderError> {
        let (command, receiver) = match payee.kind {
            SubType::Paybill | SubType::Bank => ("BusinessPayBill", "4"),
            SubType::Buygoods => ("BusinessBuyGoods", "2"),
        };
        let reference = payee.account.as_deref().unwrap_or(of);
        let body = json!({
            "Initiator": initiator.name,
            "SecurityCredential": initiator.credential.expose_secret(),
            "CommandID": command,
            "SenderIdentifierType": identifier(merchant),
            // The misspelling is theirs.
            "RecieverIdentifierType": receiver,
            "Amount": amount.minor() / 100,
            "PartyA": merchant.business_short_code(),
            "PartyB": payee.number,
            "AccountReference": reference,
            "Remarks": format!("Settlement {of}"),
            "QueueTimeOutURL": urls.time_out,
            "ResultURL": urls.result,
        });
        taken(
            &self
                .order(merchant, "/mpesa/b2b/v1/paymentrequest", &body)
                .await?,
        )
    }
}

/// What kind of number the short code is, to the calls of an initiator.
fn identifier(merchant: &Merchant) -> &'static str {
    match merchant.kind {
        SubType::Paybill | SubType::Bank => "4",
        SubType::Buygoods => "2",
    }
}

/// Whether a request was taken: a 200 may say in its body that it was not.
fn taken(answer: &Value) -> Result<Taken, ProviderError> {
    let text = |key: &str| answer.get(key).map(plain).unwrap_or_default();
    let code = text("ResponseCode");
    if code.is_empty() {
        return Err(ProviderError::Silent); // perhaps taken, and we do not know as what
    }
    if !code.bytes().all(|digit| digit == b'0') {
        let said = text("ResponseDescription");
        return Err(ProviderError::Refused(format!("{code}: {said}")));
    }
    Ok(Taken {
        originator_conversation_id: text("OriginatorConversationID"),
        conversation_id: text("ConversationID"),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_is_no_certificate_of_an_rsa_key_is_refused() {
        let elliptic = rcgen::generate_simple_self_signed(["m".to_owned()]).unwrap();
        for (certificate, why) in [
            ("", "X.509"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "X.509",
            ),
            (elliptic.cert.pem().as_str(), "RSA"),
        ] {
            let password = "secret".to_owned().into();
            let made = Initiator::new(
                "api".into(),
                &password,
                certificate.as_bytes(),
                &Entropy::system(),
            );
            assert!(made.unwrap_err().contains(why), "{certificate}");
        }
    }

    #[test]
    fn a_request_is_taken_when_its_body_says_so() {
        let answer = |code: &str| taken(&json!({"ResponseCode": code, "ConversationID": "AG_1"}));
        assert_eq!(answer("0").unwrap().conversation_id, "AG_1");
        assert!(matches!(answer("21"), Err(ProviderError::Refused(_))));
        assert_eq!(taken(&json!({})), Err(ProviderError::Silent));
    }
}
