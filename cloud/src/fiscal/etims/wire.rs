//! The body of `saveTrnsSalesOsdc`.

use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use serde_json::{Map, Value, json};

use super::{Unit, nairobi};
use crate::fiscal::rules::Sale;

/// Tax types: exempt, the usual rate, zero, outside value added tax, the reduced rate.
const TYPES: [char; 5] = ['A', 'B', 'C', 'D', 'E'];

/// The whole body. Sums stand under the tax type of the document, nothing under the others; credit notes are positive
/// there too, their type says which way they go.
pub fn body(unit: &Unit, sale: &Sale) -> Value {
    let at = stamp(sale.issued_at);
    let day = at.get(..8).unwrap_or_default().to_owned();
    let tax_type = tax_type(sale.rate);
    let takes_back = sale.original.is_some();
    let mut body = json!({
        "tin": unit.taxpayer,
        "bhfId": unit.branch,
        "cmcKey": unit.key,
        "trdInvcNo": sale.number,
        "invcNo": sale.serial,
        "orgInvcNo": sale.original.unwrap_or(0),
        "custTin": null,
        "custNm": cut(&sale.customer, 60),
        "salesTyCd": "N",
        "rcptTyCd": if takes_back { "R" } else { "S" },
        // On credit: an invoice is paid later.
        "pmtTyCd": "02",
        "salesSttsCd": "02",
        "cfmDt": at,
        "salesDt": day,
        "stockRlsDt": null,
        "cnclReqDt": null,
        "cnclDt": null,
        "rfdDt": takes_back.then(|| at.clone()),
        "rfdRsnCd": takes_back.then_some("06"),
        "totItemCnt": sale.lines.len(),
        "totTaxblAmt": amount(sale.total),
        "totTaxAmt": amount(sale.vat),
        "totAmt": amount(sale.total),
        "prchrAcptcYn": "N",
        "remark": null,
        "regrId": "EasyISP",
        "regrNm": "EasyISP",
        "modrId": "EasyISP",
        "modrNm": "EasyISP",
        "receipt": {
            "custTin": null,
            "custMblNo": null,
            "rcptPbctDt": at,
            "trdeNm": null,
            "adrs": null,
            "topMsg": null,
            "btmMsg": null,
            "prchrAcptcYn": "N",
        },
        "itemList": lines(unit, sale, tax_type),
    });
    if let Some(fields) = body.as_object_mut() {
        taxes(fields, sale, tax_type);
    }
    body
}

fn taxes(fields: &mut Map<String, Value>, sale: &Sale, tax_type: char) {
    for one in TYPES {
        let own = one == tax_type;
        let of = |what: Cents| if own { what } else { Cents::ZERO };
        let rate = sale.rate.unwrap_or_default();
        fields.insert(format!("taxblAmt{one}"), amount(of(sale.total)));
        fields.insert(format!("taxRt{one}"), amount(of(rate)));
        fields.insert(format!("taxAmt{one}"), amount(of(sale.vat)));
    }
}

fn lines(unit: &Unit, sale: &Sale, tax_type: char) -> Vec<Value> {
    let line = |(place, line): (usize, &crate::fiscal::rules::Line)| {
        json!({
            "itemSeq": place + 1,
            "itemCd": unit.item_code,
            "itemClsCd": unit.item_class,
            "itemNm": cut(&line.name, 200),
            "bcd": null,
            "pkgUnitCd": "NT",
            "pkg": 1,
            "qtyUnitCd": "U",
            "qty": 1,
            "prc": amount(line.amount),
            "splyAmt": amount(line.amount),
            "dcRt": 0,
            "dcAmt": 0,
            "isrccCd": null,
            "isrccNm": null,
            "isrcRt": null,
            "isrcAmt": null,
            "taxTyCd": tax_type.to_string(),
            "taxblAmt": amount(line.amount),
            "taxAmt": amount(line.vat),
            "totAmt": amount(line.amount),
        })
    };
    sale.lines.iter().enumerate().map(line).collect()
}

/// The type of a rate in percent.
fn tax_type(rate: Option<Cents>) -> char {
    match rate.map(|rate| rate.minor()) {
        None => 'D',
        Some(0) => 'C',
        Some(800) => 'E',
        Some(_) => 'B',
    }
}

/// A number with at most two decimals.
fn amount(cents: Cents) -> Value {
    json!(cents)
}

/// `20210502115145`, Nairobi's time.
fn stamp(at: Timestamp) -> String {
    at.in_zone(&nairobi()).strftime("%Y%m%d%H%M%S").to_string()
}

/// An erased customer has no name.
fn cut(text: &str, most: usize) -> String {
    match text.trim() {
        "" => "-".to_owned(),
        text => text.chars().take(most).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fiscal::rules::Line;

    fn sale() -> Sale {
        Sale {
            serial: 12,
            number: "INV-20270034".into(),
            original: None,
            customer: "Asha".into(),
            issued_at: Timestamp::from_secs(1_800_048_615), // 21:30:15 UTC, the next day in Nairobi
            total: Cents::whole(1160),
            vat: Cents::whole(160),
            rate: Some(Cents::new(1600)),
            lines: vec![Line {
                name: "Home 10".into(),
                amount: Cents::whole(1160),
                vat: Cents::whole(160),
            }],
        }
    }

    #[test]
    fn a_sale_has_every_field_and_its_sums_under_its_tax_type() {
        let unit = super::super::tests::unit();
        let body = body(&unit, &sale());
        assert_eq!(body["invcNo"], 12);
        assert_eq!(
            (&body["rcptTyCd"], &body["orgInvcNo"]),
            (&json!("S"), &json!(0))
        );
        assert_eq!(
            (&body["cfmDt"], &body["salesDt"]),
            (&json!("20270116003015"), &json!("20270116"))
        );
        for one in TYPES {
            let sums =
                ["taxblAmt", "taxRt", "taxAmt"].map(|name| body[format!("{name}{one}")].clone());
            let wanted = match one {
                'B' => [json!(1160), json!(16), json!(160)],
                _ => [json!(0), json!(0), json!(0)],
            };
            assert_eq!(sums, wanted, "{one}");
        }
        assert_eq!(body["itemList"][0]["taxTyCd"], "B");
        assert_eq!(body["itemList"][0]["taxAmt"], 160);
    }

    #[test]
    fn a_credit_note_names_what_it_takes_back() {
        let unit = super::super::tests::unit();
        let note = Sale {
            serial: 15,
            original: Some(12),
            rate: None,
            vat: Cents::ZERO,
            ..sale()
        };
        let body = body(&unit, &note);
        assert_eq!(
            (&body["rcptTyCd"], &body["orgInvcNo"]),
            (&json!("R"), &json!(12))
        );
        assert_eq!(
            (&body["rfdRsnCd"], &body["rfdDt"]),
            (&json!("06"), &body["cfmDt"])
        );
        assert_eq!(
            (&body["taxblAmtD"], &body["taxAmtD"]),
            (&json!(1160), &json!(0))
        );
    }
}
