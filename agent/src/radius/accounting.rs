//! What routers report: a verified Accounting-Request read into types (RFC 2866, RFC 2869).

use easyisp_shared::ipv6::Prefixes;

use super::dictionary::{TerminateCause, attribute};
use super::packet::Attribute;
use super::prefixes::Told;
use super::request::{Common, Service, Station, keep, keep_number};
use super::verify::VerifiedAccounting;

/// What a session has used.
#[derive(Debug, Clone)]
pub struct AccountingRequest<'a> {
    /// Start, interim, stop, or the router itself.
    pub status: AccountingStatus,
    /// Acct-Session-Id: unique per router only.
    pub session_id: &'a [u8],
    /// User-Name; empty when the router sent none.
    pub user_name: &'a [u8],
    /// PPP or hotspot.
    pub service: Service,
    /// Where the subscriber is.
    pub station: Station<'a>,
    /// What the subscriber has of IPv6.
    pub prefixes: Prefixes,
    /// Class as our Accept sent it: names the session's grant.
    pub class: Option<&'a [u8]>,
    /// Octets from the subscriber (upload) since the session began, all 64 bits.
    pub input_octets: Option<u64>,
    /// Octets to the subscriber (download) since the session began, all 64 bits.
    pub output_octets: Option<u64>,
    /// Whether each came without its upper 32 bits.
    pub narrow: [bool; 2],
    /// Packets from the subscriber.
    pub input_packets: Option<u32>,
    /// Packets to the subscriber.
    pub output_packets: Option<u32>,
    /// Acct-Session-Time, seconds.
    pub session_secs: Option<u32>,
    /// Acct-Delay-Time: seconds the router has been trying to send this.
    pub delay_secs: u32,
    /// Event-Timestamp: seconds since 1970 on the router's clock, right or wrong.
    pub event_unix: Option<u32>,
    /// Why the session ended.
    pub terminate_cause: Option<TerminateCause>,
}

/// Acct-Status-Type (RFC 2866 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountingStatus {
    /// A session began.
    Start,
    /// A session ended.
    Stop,
    /// A session goes on.
    Interim,
    /// The router started: none of its earlier sessions lives.
    On,
    /// The router is about to stop.
    Off,
    /// Anything else is acknowledged and not used.
    Other(u32),
}

/// An Accounting-Request that says nothing: it is not answered, and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Incomplete {
    /// No Acct-Status-Type.
    #[error("no Acct-Status-Type")]
    Status,
    /// A session's record without Acct-Session-Id.
    #[error("no Acct-Session-Id")]
    SessionId,
}

impl<'a> AccountingRequest<'a> {
    /// Reads a verified Accounting-Request.
    pub fn read(verified: &VerifiedAccounting<'a>) -> Result<AccountingRequest<'a>, Incomplete> {
        let mut common = Common::default();
        let mut numbers = Numbers::default();
        let mut told = Told::default();
        let mut class = None;
        for attribute in verified.packet().attributes() {
            if attribute.kind == attribute::CLASS {
                keep(&mut class, attribute.value);
            }
            common.take(attribute);
            numbers.take(attribute);
            told.take(attribute);
        }
        let status = numbers.status.ok_or(Incomplete::Status)?.into();
        let session_id = match (status, common.session_id) {
            (_, Some(id)) if !id.is_empty() => id,
            (AccountingStatus::Start | AccountingStatus::Stop | AccountingStatus::Interim, _) => {
                return Err(Incomplete::SessionId);
            }
            (AccountingStatus::On | AccountingStatus::Off | AccountingStatus::Other(_), _) => &[],
        };
        Ok(AccountingRequest {
            status,
            session_id,
            user_name: common.user_name.unwrap_or_default(),
            service: common.service(),
            station: common.station,
            prefixes: told.prefixes(),
            class,
            input_octets: wide(numbers.input_gigawords, numbers.input_octets),
            output_octets: wide(numbers.output_gigawords, numbers.output_octets),
            narrow: [
                numbers.input_gigawords.is_none(),
                numbers.output_gigawords.is_none(),
            ],
            input_packets: numbers.input_packets,
            output_packets: numbers.output_packets,
            session_secs: numbers.session_secs,
            delay_secs: numbers.delay_secs.unwrap_or(0),
            event_unix: numbers.event_unix,
            terminate_cause: numbers.terminate_cause.map(TerminateCause::from),
        })
    }
}

impl From<u32> for AccountingStatus {
    fn from(number: u32) -> AccountingStatus {
        match number {
            1 => AccountingStatus::Start,
            2 => AccountingStatus::Stop,
            3 => AccountingStatus::Interim,
            7 => AccountingStatus::On,
            8 => AccountingStatus::Off,
            other => AccountingStatus::Other(other),
        }
    }
}

/// A counter of 64 bits from its two halves (RFC 2869 §5.1); either alone counts for both.
fn wide(gigawords: Option<u32>, octets: Option<u32>) -> Option<u64> {
    (gigawords.is_some() || octets.is_some())
        .then(|| u64::from(gigawords.unwrap_or(0)) << 32 | u64::from(octets.unwrap_or(0)))
}

/// A report's numbers as they come by.
#[derive(Default)]
struct Numbers {
    status: Option<u32>,
    delay_secs: Option<u32>,
    input_octets: Option<u32>,
    output_octets: Option<u32>,
    input_gigawords: Option<u32>,
    output_gigawords: Option<u32>,
    input_packets: Option<u32>,
    output_packets: Option<u32>,
    session_secs: Option<u32>,
    event_unix: Option<u32>,
    terminate_cause: Option<u32>,
}

impl Numbers {
    fn take(&mut self, attribute: Attribute<'_>) {
        let slot = match attribute.kind {
            attribute::ACCT_STATUS_TYPE => &mut self.status,
            attribute::ACCT_DELAY_TIME => &mut self.delay_secs,
            attribute::ACCT_INPUT_OCTETS => &mut self.input_octets,
            attribute::ACCT_OUTPUT_OCTETS => &mut self.output_octets,
            attribute::ACCT_INPUT_GIGAWORDS => &mut self.input_gigawords,
            attribute::ACCT_OUTPUT_GIGAWORDS => &mut self.output_gigawords,
            attribute::ACCT_INPUT_PACKETS => &mut self.input_packets,
            attribute::ACCT_OUTPUT_PACKETS => &mut self.output_packets,
            attribute::ACCT_SESSION_TIME => &mut self.session_secs,
            attribute::EVENT_TIMESTAMP => &mut self.event_unix,
            attribute::ACCT_TERMINATE_CAUSE => &mut self.terminate_cause,
            _ => return,
        };
        keep_number(slot, attribute);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::radius::{Packet, Secret, client};

    #[test]
    fn a_stop_is_read_whole() {
        let bytes = record(&[
            (40, &2u32.to_be_bytes()),
            (1, b"jane"),
            (44, b"81100003"),
            (6, &2u32.to_be_bytes()),
            (7, &1u32.to_be_bytes()),
            (31, b"AA:BB:CC:00:11:22"),
            (30, b"pppoe1"),
            (32, b"tower-3"),
            (4, &[192, 168, 88, 1]),
            (8, &[10, 5, 0, 7]),
            (87, b"ether2"),
            (97, &[0, 64, 0x20, 1, 0x0d, 0xb8, 0, 1, 0, 0]),
            (123, &[0, 56, 0x20, 1, 0x0d, 0xb8, 9, 0, 0]),
            (25, b"cookie"),
            (46, &3600u32.to_be_bytes()),
            (41, &5u32.to_be_bytes()),
            (55, &1_800_000_000u32.to_be_bytes()),
            (42, &7u32.to_be_bytes()),
            (52, &1u32.to_be_bytes()),
            (49, &5u32.to_be_bytes()),
        ]);
        let report = read(&bytes).unwrap();
        assert_eq!(report.status, AccountingStatus::Stop);
        assert_eq!(report.user_name, b"jane");
        assert_eq!(report.session_id, b"81100003");
        assert_eq!(report.service, Service::Ppp);
        assert_eq!(report.station.calling, Some(&b"AA:BB:CC:00:11:22"[..]));
        assert_eq!(report.station.framed_address, Some([10, 5, 0, 7].into()));
        assert_eq!(
            report.prefixes.texts(),
            ["2001:db8:1::/64", "2001:db8:900::/56"]
        );
        assert_eq!(report.class, Some(&b"cookie"[..]));
        assert_eq!(report.input_octets, Some((1 << 32) + 7));
        assert_eq!(report.output_octets, None);
        assert_eq!(report.session_secs, Some(3600));
        assert_eq!(report.delay_secs, 5);
        assert_eq!(report.event_unix, Some(1_800_000_000));
        assert_eq!(report.terminate_cause, Some(TerminateCause::SessionTimeout));
    }

    #[test]
    fn counters_are_64_bits_wide() {
        assert_eq!(wide(Some(1), Some(1 << 30)), Some(5 << 30)); // 5 GiB
        assert_eq!(wide(Some(0), Some(u32::MAX)), Some((4 << 30) - 1)); // 4 GiB - 1
        assert_eq!(wide(Some(17 << 8), None), Some(17 << 40)); // 17 TiB in gigawords alone
        assert_eq!(wide(Some(u32::MAX), Some(u32::MAX)), Some(u64::MAX));
        assert_eq!(wide(None, Some(9)), Some(9));
        assert_eq!(wide(None, None), None);
    }

    #[test]
    fn a_record_that_says_nothing_is_refused() {
        let bytes = record(&[(44, b"80100014")]);
        assert_eq!(read(&bytes).err(), Some(Incomplete::Status));
        let bytes = record(&[(40, &1u32.to_be_bytes())]);
        assert_eq!(read(&bytes).err(), Some(Incomplete::SessionId));
        let bytes = record(&[(40, &1u32.to_be_bytes()), (44, b"")]);
        assert_eq!(read(&bytes).err(), Some(Incomplete::SessionId));
        let bytes = record(&[(40, &7u32.to_be_bytes())]);
        assert_eq!(read(&bytes).unwrap().status, AccountingStatus::On);
    }

    #[test]
    fn the_first_of_repeated_attributes_counts_and_odd_sizes_are_absent() {
        let bytes = record(&[
            (40, &3u32.to_be_bytes()),
            (44, b"first"),
            (44, b"second"),
            (46, b"abc"),
            (46, &60u32.to_be_bytes()),
            (8, &[1, 2, 3]),
            (1, &[0xff, 0, b'\'']),
        ]);
        let report = read(&bytes).unwrap();
        assert_eq!(report.session_id, b"first");
        assert_eq!(report.session_secs, Some(60));
        assert_eq!(report.station.framed_address, None);
        assert_eq!(report.user_name, &[0xff, 0, b'\'']);
    }

    fn read(bytes: &[u8]) -> Result<AccountingRequest<'_>, Incomplete> {
        let packet = Packet::parse(bytes).unwrap();
        AccountingRequest::read(&VerifiedAccounting::check(packet, &secret()).unwrap())
    }

    fn record(attributes: &[(u8, &[u8])]) -> Vec<u8> {
        client::accounting_request(attributes, 1, &secret()).unwrap()
    }

    fn secret() -> Secret {
        Secret::new(b"demo-secret")
    }
}
