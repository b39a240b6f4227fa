//! What is kept of people, for how long, and what becomes of it when one of them is erased.
//!
//! One line for every table there is: a new one is named here, with what it holds of people, or a story
//! fails. How the SQL agrees with it is looked at by the story that erases somebody and reads every row.

use std::time::Duration;

use easyisp_shared::id::CustomerId;

mod marks;

pub use marks::{Known, Marks};

/// What one table holds of people.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// The table.
    pub table: &'static str,
    /// What it holds of people; empty = nothing.
    pub holds: &'static str,
    /// For how long.
    pub keep: Keep,
    /// What becomes of it when somebody is erased.
    pub when_erased: &'static str,
}

/// How long something is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// So many days.
    Days(u16),
    /// As many days as the tenant's `sessionRetentionDays` says.
    Sessions,
    /// As many days as the tenant's `logRetentionDays` says.
    Logs,
    /// As long as the customer is one, and two years after.
    Customer,
    /// The books: for good, with ids in place of names.
    Books,
    /// As long as what it belongs to.
    Thing,
}

/// The log of logins.
pub const LOGINS: u16 = 180;
/// Usage by hour: the same month a year ago is still there to compare with.
pub const USAGE: u16 = 400;
/// Messages that were sent, with what they said.
pub const MESSAGES: u16 = 365;
/// What a provider told us of payments, byte for byte: longer than a dispute takes.
pub const CALLBACKS: u16 = 180;
/// Reports of agents that could not be applied.
pub const QUARANTINE: u16 = 90;
/// Orders to sites: what they did stands in the trail.
pub const COMMANDS: u16 = 90;
/// What lines of the trail say. What was done, when, to which id and by which id stays.
pub const TRAIL: u16 = 730;
/// Customers who were deleted: then they are erased without being asked for.
pub const GONE: u16 = 730;
/// What tenants' own programs were told; the webhooks' own daily work.
const TOLD: u16 = 30;
/// Answers to repeated requests.
const REPEATS: u16 = 3;

/// Days as a span of time.
pub fn days(days: u16) -> Duration {
    Duration::from_secs(u64::from(days) * 86_400)
}

const fn of(
    table: &'static str,
    holds: &'static str,
    keep: Keep,
    when_erased: &'static str,
) -> Kept {
    Kept {
        table,
        holds,
        keep,
        when_erased,
    }
}

/// A table that holds nothing of subscribers.
const fn none(table: &'static str) -> Kept {
    of(table, "", Keep::Thing, "")
}

/// Every table there is.
pub const KEPT: &[Kept] = &[
    of(
        "customers",
        "name, user name, e-mail, phone, place, password, devices, addresses",
        Keep::Customer,
        "a pseudonym takes the place of name and user name, the rest is emptied",
    ),
    of(
        "customer_usage",
        "last address and device",
        Keep::Customer,
        "emptied",
    ),
    of(
        "sessions",
        "user name, address, device, when and how much",
        Keep::Sessions,
        "the pseudonym, without address and device",
    ),
    of(
        "session_prefixes",
        "IPv6 prefixes and addresses, and when",
        Keep::Sessions,
        "removed",
    ),
    of(
        "usage",
        "how much, by hour and id",
        Keep::Days(USAGE),
        "stays under his id",
    ),
    of(
        "auth_log",
        "user name, device, when and why not",
        Keep::Days(LOGINS),
        "the pseudonym, without device",
    ),
    of(
        "router_logs",
        "user name, address, device, in a router's own words",
        Keep::Logs,
        "lines with his user name or a device of his are removed",
    ),
    of(
        "log_words",
        "the words of these lines",
        Keep::Logs,
        "his user name and devices are removed",
    ),
    of(
        "access_grants",
        "name, and the address of his device, where somebody looked at it",
        Keep::Days(TRAIL),
        "the pseudonym, without address and reason",
    ),
    of(
        "messages",
        "number, text",
        Keep::Days(MESSAGES),
        "number and text are emptied; what was not sent is not",
    ),
    of(
        "payments",
        "amount, receipt, phone and its hash, the payer's name, words of who typed it",
        Keep::Books,
        "amount and receipt stay; phone, name and words are emptied",
    ),
    of(
        "intents",
        "phone, amount, outcome",
        Keep::Books,
        "the phone is emptied, and the provider's number, which holds it",
    ),
    of(
        "refunds",
        "what was sent back and why, by id; words of who asked for it",
        Keep::Books,
        "words are emptied; amount and receipt stay",
    ),
    of(
        "collecting",
        "nothing of subscribers: what is agreed with the provider",
        Keep::Books,
        "stays",
    ),
    of(
        "floats",
        "nothing of subscribers: what operators may sell",
        Keep::Books,
        "stays",
    ),
    of(
        "float_moves",
        "nothing of subscribers: what operators loaded and handed over",
        Keep::Books,
        "stays",
    ),
    of(
        "settlements",
        "nothing of subscribers: sums paid out to the provider",
        Keep::Books,
        "stays",
    ),
    of(
        "topups",
        "nothing of subscribers: sums paid to the platform, and the phone of the provider",
        Keep::Books,
        "stays",
    ),
    of(
        "statement_days",
        "nothing of subscribers: sums of days, and who closed them",
        Keep::Books,
        "stays",
    ),
    of(
        "statement_differences",
        "receipts and amounts that did not agree, without a name or number",
        Keep::Books,
        "stays: the provider's word on a receipt",
    ),
    of(
        "inquiries",
        "receipt, amount and when, without a name or number",
        Keep::Books,
        "stays: the provider's word on a receipt",
    ),
    of(
        "payment_inbox",
        "what the provider told us, with the phone",
        Keep::Days(CALLBACKS),
        "emptied",
    ),
    of(
        "periods",
        "what was bought, by id",
        Keep::Books,
        "stays under his id",
    ),
    of(
        "wallets",
        "balance, by id",
        Keep::Books,
        "stays under his id",
    ),
    of(
        "entries",
        "what moved and why, by id; words of who typed it",
        Keep::Books,
        "words are emptied, in a way that the books still prove",
    ),
    of(
        "transfers",
        "amounts, by id",
        Keep::Books,
        "stays under his id",
    ),
    of(
        "incomes",
        "who paid what is no subscriber's payment, words of who typed it",
        Keep::Books,
        "words that name him are emptied; amount, day and account stay",
    ),
    of(
        "expenses",
        "who was paid and what for, words of who typed it",
        Keep::Books,
        "words that name him are emptied; amount, day and account stay",
    ),
    of(
        "recurring_expenses",
        "who is paid every month and what for, words of who typed it",
        Keep::Books,
        "words that name him are emptied",
    ),
    of(
        "invoices",
        "what he was billed, when he paid, words of who typed it",
        Keep::Books,
        "amounts, taxes and days stay under his id; words are emptied",
    ),
    of(
        "vouchers",
        "what was used when, by id",
        Keep::Thing,
        "stays under his id",
    ),
    of(
        "commands",
        "what a site was asked to do, by id",
        Keep::Days(COMMANDS),
        "stays under his id",
    ),
    of(
        "audit",
        "who did what to whom, before and after",
        Keep::Days(TRAIL),
        "lines on him keep deed, moment and doer; names and words go, in a way that the chain still proves",
    ),
    of(
        "redactions",
        "digests of what was blanked",
        Keep::Books,
        "stays",
    ),
    of(
        "idempotency_keys",
        "answers to repeated requests, sealed",
        Keep::Days(REPEATS),
        "goes within its three days",
    ),
    of(
        "feed",
        "what his site knows of him, the password sealed",
        Keep::Customer,
        "emptied; his site's agents forget him when they hear of it",
    ),
    of(
        "quarantine",
        "reports of agents that could not be applied",
        Keep::Days(QUARANTINE),
        "those that name him go",
    ),
    of(
        "routers",
        "names that a router lists by itself",
        Keep::Thing,
        "taken off the list; a router that still has him names him again",
    ),
    of(
        "moving_differences",
        "user name, what two servers said",
        Keep::Thing,
        "his go",
    ),
    of(
        "moving_strangers",
        "user name, device",
        Keep::Thing,
        "his go",
    ),
    of(
        "webhook_deliveries",
        "what the provider's own programs were told: ids, his user name, amounts",
        Keep::Days(TOLD),
        "those on him go",
    ),
    of(
        "told_expiries",
        "whose end the provider's own programs were told, by id",
        Keep::Thing,
        "stays under his id",
    ),
    of(
        "import_parts",
        "rows of a file that are still to be taken in, sealed",
        Keep::Thing,
        "stays sealed until its rows are taken in or the file is given up, minutes later",
    ),
    of(
        "import_rows",
        "user name, what became of a row of a file and why",
        Keep::Days(crate::imports::KEPT_DAYS),
        "the pseudonym, without reasons",
    ),
    of(
        "customer_notes",
        "what operators wrote about him",
        Keep::Customer,
        "his go",
    ),
    of(
        "customer_lines",
        "the address and speed that his router has of him",
        Keep::Customer,
        "his goes",
    ),
    of(
        "unlock_codes",
        "codes that let him in while his site was away",
        Keep::Customer,
        "they go",
    ),
    of(
        "customer_words",
        "the words of his name, user name, e-mail and phone by which he is found",
        Keep::Customer,
        "his go",
    ),
    of(
        "customer_tags",
        "labels that operators gave him",
        Keep::Customer,
        "his go",
    ),
    of(
        "promises",
        "when he promised to pay, by id",
        Keep::Customer,
        "stays under his id",
    ),
    of(
        "reminders",
        "when he was told of the end of his time, by id",
        Keep::Customer,
        "stays under his id",
    ),
    of(
        "repayments",
        "what he was given back for outages, by id",
        Keep::Books,
        "stays under his id",
    ),
    of(
        "billed_customers",
        "that and since when he was billed afterwards, by id",
        Keep::Books,
        "stays under his id",
    ),
    of(
        "billed_plans",
        "what he was billed for, by id",
        Keep::Books,
        "stays under his id",
    ),
    of(
        "router_configurations",
        "what people wrote on their own routers: names of local users, comments, addresses; no password",
        Keep::Thing,
        "stays: it is how the router was, and goes with its hundred versions, after a year at the latest",
    ),
    none("accounts"),
    none("agents"),
    none("alert_looks"),
    none("log_blocks"),
    none("alert_rules"),
    none("alert_settings"),
    none("alert_states"),
    none("alerts"),
    none("api_keys"),
    none("book_locks"),
    none("chain"),
    none("counts"),
    none("credit_note_numbers"),
    none("credit_notes"),
    none("day_totals"),
    none("tallies"),
    none("untallied"),
    none("feed_days"),
    none("feed_digests"),
    none("fiscal_documents"),
    none("fiscal_settings"),
    none("gateways"),
    none("invoice_numbers"),
    none("invoice_reopenings"),
    none("imports"),
    none("metrics"),
    none("monitored"),
    none("router_serials"),
    none("router_setups"),
    none("rollouts"),
    none("rollout_routers"),
    none("moving"),
    none("moving_tallies"),
    none("operators"),
    none("outage_watches"),
    none("outages"),
    none("package_routers"),
    none("packages"),
    none("pictures"),
    none("router_certificates"),
    none("router_logins"),
    none("site_counters"),
    none("site_usage"),
    none("sites"),
    none("sms_days"),
    none("tax_tables"),
    none("tenant_keys"),
    none("tenants"),
    none("told_routers"),
    none("unsealed"),
    none("uplink_marks"),
    none("voucher_batches"),
    none("waiting_agents"),
    none("webhook_watches"),
    none("webhooks"),
];

/// What an erased customer is called: never again anybody's name, and the same whenever it is asked for.
pub fn pseudonym(customer: CustomerId) -> String {
    let digits = customer.0.simple().to_string();
    // The end of an id is random, its beginning a moment.
    format!("erased-{}", &digits[20..])
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_pseudonym_is_of_its_customer_alone() {
        let one = CustomerId("0190e7a0-0000-7000-8000-00000000000a".parse().unwrap());
        let other = CustomerId("0190e7a0-0000-7000-8000-00000000000b".parse().unwrap());
        assert_eq!(pseudonym(one), "erased-00000000000a");
        assert_ne!(pseudonym(one), pseudonym(other));
    }

    #[test]
    fn every_table_stands_once_and_says_what_becomes_of_people() {
        for kept in KEPT {
            let named = KEPT.iter().filter(|other| other.table == kept.table);
            assert_eq!(named.count(), 1, "{}", kept.table);
            assert_eq!(
                kept.holds.is_empty(),
                kept.when_erased.is_empty(),
                "{}",
                kept.table
            );
        }
    }
}
