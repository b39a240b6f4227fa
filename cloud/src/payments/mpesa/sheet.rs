//! Reads a statement of M-Pesa's portal for organisations: CSV, or the same as a workbook, with some lines on the account before the names of
//! the columns. Reads untrusted bytes: every input gives `Ok` or `Err`, none panics.

use std::time::Duration;

use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use jiff::civil::Date;

use crate::api::{NotOpened, csv_of_workbook, is_workbook};

use super::super::arrival::{Arrival, Payer, amount_of, name_of, receipt_of, shortened};
use super::callback::listed_instant;

/// Most rows of one statement.
pub const MOST_ROWS: usize = 20_000;
/// Lines before the names of the columns, at most.
const MOST_LINES_BEFORE: usize = 50;

/// A statement, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    /// The short code that it says it is of.
    pub shortcode: Option<String>,
    /// From when it has everything, where it says so.
    pub from: Option<Timestamp>,
    /// Until when: before this instant.
    pub to: Option<Timestamp>,
    /// Its rows, in their order.
    pub rows: Vec<Row>,
}

/// A row and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// From 1, as a text editor counts.
    pub line: u64,
    /// What it says.
    pub told: Told,
    /// When it moved, where that can be read.
    pub at: Option<Timestamp>,
    /// What it moved: in, or out with a minus.
    pub moved: Option<Cents>,
    /// The balance after it.
    pub balance: Option<Cents>,
}

/// What a row says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// Money that came.
    Came(Arrival),
    /// Money that went, a charge, or something that was not completed.
    Else,
    /// Nothing that can be read, and why.
    Unreadable(String),
}

/// Why a file is no statement.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoStatement {
    /// The names of the columns are missing.
    #[error(
        "has no column \"{0}\"; export the statement as CSV with the columns Receipt No., Completion Time, \
         Transaction Status and Paid In"
    )]
    Column(&'static str),
    /// Too long.
    #[error("has more than 20,000 rows; export a shorter span of time")]
    TooLong,
    /// A workbook that cannot be read.
    #[error(transparent)]
    Workbook(#[from] NotOpened),
}

/// Where the columns are.
struct Columns {
    receipt: usize,
    time: usize,
    paid_in: usize,
    status: Option<usize>,
    account: Option<usize>,
    payer: Option<usize>,
    kind: Option<usize>,
    /// It is a text that names the payer too, where there is no column of kinds.
    kind_is_text: bool,
    withdrawn: Option<usize>,
    balance: Option<usize>,
}

/// Reads a statement.
pub fn read_statement(bytes: &[u8]) -> Result<Statement, NoStatement> {
    if is_workbook(bytes) {
        let csv = csv_of_workbook(bytes, MOST_ROWS + MOST_LINES_BEFORE)?;
        return read_csv(&csv);
    }
    read_csv(bytes)
}

fn read_csv(bytes: &[u8]) -> Result<Statement, NoStatement> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // With one letter at the end of a line, lines are counted as people count them.
    let lines: Vec<u8> = bytes
        .iter()
        .copied()
        .filter(|byte| *byte != b'\r')
        .collect();
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(lines.as_slice());
    let mut record = csv::ByteRecord::new();
    let (mut columns, mut shortcode, mut before, mut rows) = (None, None, 0, Vec::new());
    let (mut span, mut made) = (None, None);
    // A reader of bytes in memory fails at nothing but the end.
    while reader.read_byte_record(&mut record).unwrap_or(false) {
        let cells: Vec<String> = record
            .iter()
            .map(|cell| String::from_utf8_lossy(cell).trim().to_owned())
            .collect();
        let Some(columns) = &columns else {
            shortcode = shortcode.or_else(|| shortcode_in(&cells));
            span = span.or_else(|| span_in(&cells));
            made = made.or_else(|| made_in(&cells));
            if find(&cells, "receiptno").is_some() {
                columns = Some(named(&cells)?);
            }
            before += 1;
            if before > MOST_LINES_BEFORE {
                break;
            }
            continue;
        };
        if cells.iter().all(String::is_empty) {
            continue;
        }
        if rows.len() == MOST_ROWS {
            return Err(NoStatement::TooLong);
        }
        let line = record.position().map_or(0, csv::Position::line);
        rows.push(Row {
            line,
            told: told(&cells, columns),
            at: listed_instant(cells.get(columns.time).map_or("", String::as_str)),
            moved: moved(&cells, columns),
            balance: sum_in(&cells, columns.balance),
        });
    }
    match columns {
        Some(_) => Ok(Statement {
            shortcode,
            from: span.map(|(from, _)| from),
            // A span may have gone on when the statement was made.
            to: span.map(|(_, to)| made.map_or(to, |made| to.min(made))),
            rows,
        }),
        None => Err(NoStatement::Column("Receipt No.")),
    }
}

fn named(cells: &[String]) -> Result<Columns, NoStatement> {
    let must = |name: &'static str, shown| find(cells, name).ok_or(NoStatement::Column(shown));
    Ok(Columns {
        receipt: must("receiptno", "Receipt No.")?,
        time: must("completiontime", "Completion Time")?,
        paid_in: must("paidin", "Paid In")?,
        status: find(cells, "transactionstatus").or_else(|| find(cells, "status")),
        account: find(cells, "acno").or_else(|| find(cells, "accountno")),
        payer: find(cells, "otherpartyinfo"),
        kind: find(cells, "reasontype").or_else(|| find(cells, "details")),
        kind_is_text: find(cells, "reasontype").is_none(),
        withdrawn: find(cells, "withdrawn"),
        balance: find(cells, "balance"),
    })
}

fn find(cells: &[String], name: &str) -> Option<usize> {
    cells.iter().position(|cell| key(Some(cell)) == name)
}

/// The name of a column, without case, spaces and signs.
fn key(cell: Option<&String>) -> String {
    let letters = cell.map(String::as_str).unwrap_or_default().chars();
    letters
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_ascii_lowercase()
}

/// `Short Code:,600638`, or both in one cell.
fn shortcode_in(cells: &[String]) -> Option<String> {
    let at = cells
        .iter()
        .position(|cell| key(Some(cell)).starts_with("shortcode"))?;
    cells[at..].iter().find_map(|cell| {
        let digits: String = cell.chars().filter(char::is_ascii_digit).collect();
        (4..=10).contains(&digits.len()).then_some(digits)
    })
}

/// `Time Period:,From 01-01-2027 00:00:00 To 31-01-2027 23:59:59`, in whatever cells, or dates alone: from when, and
/// before when. The last second is one of it.
fn span_in(cells: &[String]) -> Option<(Timestamp, Timestamp)> {
    let words = words_of(cells, &["timeperiod", "period"])?;
    let second = Duration::from_secs(1);
    if let [from, .., to] = instants(&words)[..] {
        return Some((from, to.plus(second)));
    }
    let dates = words.iter().filter_map(|word| date(word));
    let [from, .., to] = dates.collect::<Vec<Date>>()[..] else {
        return None;
    };
    let midnight = |day: Date| listed_instant(&format!("{day} 00:00:00"));
    midnight(from).zip(to.tomorrow().ok().and_then(midnight))
}

/// `Report Date:,16-01-2027 08:00:00`.
fn made_in(cells: &[String]) -> Option<Timestamp> {
    let words = words_of(
        cells,
        &["reportdate", "dateofreport", "generated", "printed"],
    )?;
    instants(&words).first().copied()
}

/// The words of a line that begins so.
fn words_of(cells: &[String], names: &[&str]) -> Option<Vec<String>> {
    let first = key(cells.iter().find(|cell| !cell.is_empty()));
    names
        .iter()
        .any(|name| first.starts_with(name))
        .then(|| cells.iter().flat_map(|cell| cell.split_whitespace()))
        .map(|words| words.map(str::to_owned).collect())
}

/// The instants among words, each of two.
fn instants(words: &[String]) -> Vec<Timestamp> {
    words
        .windows(2)
        .filter(|pair| date(&pair[0]).is_some())
        .filter_map(|pair| listed_instant(&pair.join(" ")))
        .collect()
}

fn date(word: &str) -> Option<Date> {
    ["%Y-%m-%d", "%d-%m-%Y", "%d/%m/%Y"]
        .iter()
        .find_map(|form| Date::strptime(form, word).ok())
}

/// An amount with or without thousands and a minus.
fn sum_in(cells: &[String], at: Option<usize>) -> Option<Cents> {
    let text = cells.get(at?)?.replace(',', "");
    match text.strip_prefix('-') {
        Some(rest) => Cents::ZERO.minus(Cents::parse(rest).ok()?),
        None => Cents::parse(&text).ok(),
    }
}

/// What a row moved; what went stands there with or without a minus.
fn moved(cells: &[String], columns: &Columns) -> Option<Cents> {
    let came = sum_in(cells, Some(columns.paid_in)).filter(|came| came.is_positive());
    let went = sum_in(cells, columns.withdrawn);
    let out = |went: Cents| match went.is_positive() {
        true => Cents::ZERO.minus(went),
        false => Some(went),
    };
    came.or_else(|| went.and_then(out))
}

fn told(cells: &[String], columns: &Columns) -> Told {
    let cell = |at: usize| cells.get(at).map(String::as_str).unwrap_or_default();
    let maybe = |at: Option<usize>| at.map(cell).unwrap_or_default();
    let status = maybe(columns.status).to_ascii_lowercase();
    let kind = maybe(columns.kind).to_ascii_lowercase();
    let kind = match columns.kind_is_text {
        true => without_payer(&kind),
        false => &kind,
    };
    let paid_in = cell(columns.paid_in).replace(',', "");
    let nothing_came =
        Cents::parse(&paid_in).map_or(paid_in.is_empty(), |paid| !paid.is_positive());
    let done = status.is_empty() || status.starts_with("complete") || status == "success";
    // What comes back or comes from a bank account is not a payer's money.
    let other = [
        "reversal",
        "charge",
        "float",
        "funds",
        "transfer from",
        "merchant account",
    ];
    if nothing_came || !done || other.iter().any(|word| kind.contains(word)) {
        return Told::Else;
    }
    let Some(receipt) = receipt_of(cell(columns.receipt)) else {
        return Told::Unreadable("Receipt No. is no receipt".to_owned());
    };
    let Some(paid_at) = listed_instant(cell(columns.time)) else {
        return Told::Unreadable("Completion Time is no time".to_owned());
    };
    let amount = match amount_of(&paid_in) {
        Ok(amount) => amount,
        Err(_) => return Told::Unreadable("Paid In is no amount that M-Pesa moves".to_owned()),
    };
    let party = maybe(columns.payer);
    let (number, name) = party.split_once(" - ").unwrap_or((party, ""));
    Told::Came(Arrival {
        receipt,
        amount,
        paid_at: Some(paid_at),
        reference: shortened(maybe(columns.account)),
        payer: Payer::read(number),
        payer_name: name_of(&shortened(name)),
    })
}

/// What a row's text says of its kind, in front of the payer's number and name, which may be any word: `pay bill from
/// 254712345678 - charge mwangi acc. 12`.
fn without_payer(text: &str) -> &str {
    let payers = ["pay bill", "customer", "merchant payment", "buy goods"];
    let number = text.find(|c: char| c.is_ascii_digit());
    let name = text.find(" - ");
    let from = payers
        .iter()
        .any(|begin| text.starts_with(begin))
        .then(|| text.find(" from "))
        .flatten();
    let end = [number, name, from].into_iter().flatten().min();
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    const STATEMENT: &str = "\u{feff}Organization Statement\r\n\
        Short Code:,600638,,\r\n\r\n\
        Receipt No.,Completion Time,Initiation Time,Details,Transaction Status,Paid In,Withdrawn,Balance,\
        Balance Confirmed,Reason Type,Other Party Info,Linked Transaction ID,A/C No.\r\n\
        SJK4H7L2PQ,15-01-2027 11:00:00,15-01-2027 11:00:00,\"Pay Bill from 254712345678, JOHN\",Completed,\
        \"1,000.00\",,9000.00,true,Pay Bill Online,254712345678 - JOHN DOE,,100 008\r\n\
        SJK4H7L2PR,15-01-2027 11:01:00,,Charge,Completed,,-5.00,1,true,Pay Merchant Charge,x,,\r\n\
        SJK4H7L2PS,15-01-2027 11:02:00,,Pay Bill,Failed,10.00,,1,true,Pay Bill Online,x,,\r\n\
        SJK4H7L2PT,yesterday,,Pay Bill,Completed,10.00,,1,true,Pay Bill Online,x,,\r\n";

    #[test]
    fn a_statement_is_read_row_by_row() {
        let statement = read_statement(STATEMENT.as_bytes()).unwrap();
        assert_eq!(statement.shortcode.as_deref(), Some("600638"));
        assert_eq!(statement.rows.len(), 4);
        let Told::Came(arrival) = &statement.rows[0].told else {
            panic!("{:?}", statement.rows[0]);
        };
        assert_eq!(arrival.amount, Cents::whole(1_000));
        assert_eq!(arrival.paid_at, Timestamp::parse("2027-01-15T08:00:00Z"));
        assert_eq!(arrival.reference, "100 008");
        assert_eq!(arrival.payer.shown().as_deref(), Some("254712345678"));
        assert_eq!(arrival.payer_name.as_deref(), Some("JOHN DOE"));
        assert_eq!(statement.rows[1].told, Told::Else);
        assert_eq!(statement.rows[2].told, Told::Else);
        assert!(matches!(statement.rows[3].told, Told::Unreadable(_)));
        assert_eq!(statement.rows[0].line, 5);
        let money = |row: &Row| (row.moved, row.balance);
        assert_eq!(
            money(&statement.rows[0]),
            (Some(Cents::whole(1_000)), Some(Cents::whole(9_000)))
        );
        assert_eq!(
            money(&statement.rows[1]),
            (Cents::ZERO.minus(Cents::whole(5)), Some(Cents::whole(1)))
        );
        assert_eq!(
            (statement.rows[1].at, statement.rows[3].at),
            (Timestamp::parse("2027-01-15T08:01:00Z"), None)
        );
    }

    /// Where no column has the kind, the text that does names the payer too.
    #[test]
    fn a_payer_may_be_called_like_a_charge() {
        let told = |details: &str| {
            let sheet = format!(
                "Receipt No.,Completion Time,Paid In,Details\nSJK4H7L2PQ,15-01-2027 11:00:00,10.00,{details}\n"
            );
            read_statement(sheet.as_bytes()).unwrap().rows[0]
                .told
                .clone()
        };
        for payer in [
            "Pay Bill from 254712345678 - CHARGE MWANGI Acc. 12",
            "Pay Bill Online from 0712***678 - FLOAT FUNDS",
            "Customer Payment from REVERSAL OTIENO",
            "Merchant Payment from 254712345678 - JANE",
        ] {
            assert!(matches!(told(payer), Told::Came(_)), "{payer}");
        }
        for other in [
            "Reversal of SJK4H7L2PA",
            "Pay Bill Charge",
            "Float purchase",
            "Business Transfer from 600638 - Savanna",
            "Funds received from 600638",
        ] {
            assert_eq!(told(other), Told::Else, "{other}");
        }
    }

    #[test]
    fn what_is_no_statement_says_which_column_is_missing() {
        assert_eq!(
            read_statement(b"a,b\n1,2\n"),
            Err(NoStatement::Column("Receipt No."))
        );
        let half = read_statement(b"Receipt No.,Completion Time\n");
        assert_eq!(half, Err(NoStatement::Column("Paid In")));
        let long = "x\n".repeat(MOST_ROWS + 1);
        let long = format!("Receipt No.,Completion Time,Paid In\n{long}");
        assert_eq!(read_statement(long.as_bytes()), Err(NoStatement::TooLong));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..300), row in "[A-Z0-9,.\" \\-]{0,120}",
            span in "[0-9,:/ \\-]{0,60}",
        ) {
            let _ = read_statement(format!("Time Period {span}\nReceipt No.,Completion Time,Paid In\n").as_bytes());
            let _ = read_statement(&bytes);
            let _ = read_statement(format!("Receipt No.,Completion Time,Paid In\n{row}").as_bytes());
        }
    }
}
