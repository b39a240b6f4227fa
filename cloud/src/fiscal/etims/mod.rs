//! Kenya's eTIMS over an online sales control unit (OSCU).
//!
//! **Sure**, because the authority's specification (OSCU/VSCU, version 2.0, April 2023) and several public programs that
//! speak it agree: one `POST …/saveTrnsSalesOsdc` a document, with `tin`, `bhfId` and `cmcKey` as headers and in the
//! body; the names of its fields; numbers (`invcNo`) that are whole and follow one another; credit notes as receipt type
//! `R` that name the original in `orgInvcNo`; all fifteen tax fields A to E present; `resultCd` `000` and a receipt
//! with `curRcptNo`, `intrlData`, `rcptSign`, `sdcDateTime`; 994 for a number that is there already; times in Nairobi's
//! clock; the address of the check page that the code leads to.
//!
//! **Not sure**, because only samples or single programs say so: that taxable amounts include the tax (the
//! specification's own sample does: 10,500 with 1,602 in it); that other words than `000` mean success (`0000` was
//! seen); what 899 means (a repeat, or wrong credentials), so it is taken for no answer; reason `06` for a credit note;
//! whether excise duty needs lines of its own. Nothing here was tried against the authority's own test system: that
//! needs a taxpayer's device.

mod wire;

use std::time::Duration;

use easyisp_shared::time::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::rules::{Heard, Sale};
use crate::invoices::FiscalReceipt;
use crate::outbound;

/// A taxpayer's control unit.
#[derive(Clone)]
pub struct Unit {
    /// His PIN.
    pub taxpayer: String,
    /// `00` is the head office.
    pub branch: String,
    /// `KRACU0100000001`.
    pub name: String,
    /// What the authority gave when the device was made known.
    pub key: String,
    /// What is sold, as it is registered there.
    pub item_code: String,
    /// Its class.
    pub item_class: String,
    /// Whether it is for good.
    pub production: bool,
}

/// How long it may take. A try without an answer may have reached it.
const PATIENCE: Duration = Duration::from_secs(20);
/// The largest answer that is read.
const MOST_BYTES: usize = 64 * 1024;

const PRODUCTION: &str = "https://etims-api.kra.go.ke/etims-api";
const SANDBOX: &str = "https://etims-api-sbx.kra.go.ke/etims-api";
/// Where a receipt is checked.
const CHECK: &str = "https://etims.kra.go.ke/common/link/etims/receipt/indexEtimsReceiptData?Data=";
const CHECK_SANDBOX: &str =
    "https://etims-sbx.kra.go.ke/common/link/etims/receipt/indexEtimsReceiptData?Data=";

/// Tries to report one document; `base` takes the place of the authority's address.
pub async fn submit(http: &reqwest::Client, base: Option<&str>, unit: &Unit, sale: &Sale) -> Heard {
    let base = base.unwrap_or(match unit.production {
        true => PRODUCTION,
        false => SANDBOX,
    });
    let request = http
        .post(format!("{base}/saveTrnsSalesOsdc"))
        .timeout(PATIENCE)
        .header("tin", &unit.taxpayer)
        .header("bhfId", &unit.branch)
        .header("cmcKey", &unit.key)
        .json(&wire::body(unit, sale));
    match request.send().await {
        // No connection: nothing can have arrived.
        Err(error) if error.is_connect() => Heard::Busy("eTIMS cannot be reached".into()),
        Err(error) if error.is_builder() => {
            Heard::Refused("PIN, branch or key have letters that no header has".into())
        }
        Err(_) => Heard::Silence("eTIMS did not answer".into()),
        Ok(answer) => read(unit, answer).await,
    }
}

async fn read(unit: &Unit, answer: reqwest::Response) -> Heard {
    let status = answer.status();
    let bytes = match outbound::body_of(answer, MOST_BYTES).await {
        Ok(bytes) => bytes,
        Err(cut) => return Heard::Silence(format!("eTIMS's answer {cut}")),
    };
    match serde_json::from_slice(&bytes) {
        Ok(body) => understand(unit, &body),
        Err(_) if status.as_u16() == 429 || status.as_u16() == 503 => {
            Heard::Busy(format!("eTIMS answered {status}"))
        }
        // A proxy may have given up while the system behind it went on.
        Err(_) => Heard::Silence(format!("eTIMS answered {status} without a result")),
    }
}

/// Reads `{"resultCd":"000","resultMsg":…,"data":{…}}`. An unknown code is no refusal, until it has come often.
fn understand(unit: &Unit, body: &Value) -> Heard {
    let code = field(body, "resultCd").unwrap_or_default();
    let said = field(body, "resultMsg").unwrap_or_default();
    let why = format!("eTIMS says {code}: {}", short(&said));
    match code.as_str() {
        "0" | "00" | "000" | "0000" => match signed(unit, body) {
            Some(receipt) => Heard::Signed(receipt),
            None => Heard::Known,
        },
        "994" => Heard::Known,
        // 990: too often; 894, 896: the line behind it.
        "990" | "894" | "896" => Heard::Busy(why),
        "900" | "901" | "902" | "903" | "905" | "910" | "911" | "912" | "913" | "921" | "922" => {
            Heard::Refused(why)
        }
        "" => Heard::Silence(why),
        _ => Heard::Odd(why),
    }
}

fn signed(unit: &Unit, body: &Value) -> Option<FiscalReceipt> {
    let data = body.get("data")?;
    let signature = field(data, "rcptSign").filter(|text| !text.is_empty())?;
    let number = field(data, "curRcptNo")?;
    let check = if unit.production {
        CHECK
    } else {
        CHECK_SANDBOX
    };
    let at = ["sdcDateTime", "vsdcRcptPbctDate"]
        .iter()
        .find_map(|name| field(data, name));
    Some(FiscalReceipt {
        control_number: format!("{}/{}", unit.name, short(&number)),
        internal_data: short(&field(data, "intrlData").unwrap_or_default()),
        check_url: format!(
            "{check}{}{}{}",
            unit.taxpayer,
            unit.branch,
            short(&signature)
        ),
        signature: short(&signature),
        signed_at: at.and_then(|at| instant(&at)),
    })
}

/// A field as text: numbers come as text or not, and some names with a space behind them.
fn field(object: &Value, name: &str) -> Option<String> {
    let fields = object.as_object()?;
    let (_, value) = fields.iter().find(|(key, _)| key.trim() == name)?;
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.trim().to_owned()),
        other => Some(other.to_string()),
    }
}

/// What stands in a table and on paper: without control characters, and not longer than a line.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// `20210502115145`, Nairobi's time.
fn instant(text: &str) -> Option<Timestamp> {
    let at = DateTime::strptime("%Y%m%d%H%M%S", text).ok()?;
    let at = at.to_zoned(nairobi()).ok()?;
    Some(Timestamp::from_jiff(at.timestamp()))
}

fn nairobi() -> TimeZone {
    TimeZone::fixed(jiff::tz::offset(3)) // without summer time, now and for long
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    pub fn unit() -> Unit {
        Unit {
            taxpayer: "P000000001A".into(),
            branch: "00".into(),
            name: "KRACU0100000001".into(),
            key: "secret".into(),
            item_code: "KE3NTU0000001".into(),
            item_class: "8111150000".into(),
            production: false,
        }
    }

    /// The specification's own sample, with the spaces that stand in it.
    #[test]
    fn a_signature_is_read_whatever_form_its_numbers_have() {
        let mut body = json!({"resultCd": "000", "resultMsg": "It is succeeded", "resultDt": "20200226194328",
            "data": {"curRcptNo ": "1", "totRcptNo ": "1", "intrlData": "EAHSAV6ECUUXSY6PCCJYAUP6MI",
                     "rcptSign": "QUII27MATATSHFRB", "sdcDateTime": "20210502115145"}});
        let Heard::Signed(receipt) = understand(&unit(), &body) else {
            panic!("signed");
        };
        assert_eq!(receipt.control_number, "KRACU0100000001/1");
        assert_eq!(
            receipt.signed_at.unwrap().to_string(),
            "2021-05-02T08:51:45.000Z"
        );
        assert!(
            receipt
                .check_url
                .ends_with("Data=P000000001A00QUII27MATATSHFRB")
        );
        body["resultCd"] = json!(0);
        assert!(matches!(understand(&unit(), &body), Heard::Signed(_)));
        // Taken, but without what must stand on the paper.
        body["data"] = json!(null);
        assert_eq!(understand(&unit(), &body), Heard::Known);
    }

    #[test]
    fn only_what_names_a_fault_of_ours_is_a_refusal() {
        let heard =
            |code: &str| understand(&unit(), &json!({"resultCd": code, "resultMsg": "why\u{7}"}));
        assert_eq!(heard("994"), Heard::Known);
        assert_eq!(heard("910"), Heard::Refused("eTIMS says 910: why".into()));
        assert!(matches!(heard("990"), Heard::Busy(_)));
        for unknown in ["899", "999", "123"] {
            assert!(matches!(heard(unknown), Heard::Odd(_)), "{unknown}");
        }
        assert!(matches!(heard(""), Heard::Silence(_)));
        assert!(matches!(understand(&unit(), &json!([])), Heard::Silence(_)));
    }
}
