//! The ladder by which a session is ended: Disconnect, then the router's API; and what proves the end.
//!
//! An ACK is no proof: some routers give it and do nothing. Proof is the Stop in accounting, or the
//! router's own list of who is online, or its word that it has no such session.

use easyisp_shared::net::Mac;
use easyisp_shared::voucher;

use crate::diagnosis::Stuck;
use crate::radius::coa::Outcome;
use crate::radius::dictionary::ErrorCause;
use crate::routeros::Active;
use crate::sessions::{Service, Session};

/// What else can be asked of a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Its API may be entered.
    SetUp,
    /// Only CoA.
    None,
}

/// What to do after a Disconnect-Request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Wait for the Stop a little.
    AwaitStop,
    /// Look at the router's list, and take the session off it.
    AskApi,
    /// The router says that it has no such session.
    Gone,
    /// There is nothing else to try now.
    GiveUp(Stuck),
}

/// What follows from the answer to a Disconnect-Request; `None` = the router could not be asked.
pub fn after_disconnect(outcome: Option<Outcome>, api: Api) -> Next {
    match (outcome, api) {
        (Some(Outcome::Acked), Api::SetUp | Api::None) => Next::AwaitStop,
        // Where its list can be read, a router is not taken at its word.
        (Some(Outcome::Nak(_) | Outcome::NoAnswer) | None, Api::SetUp) => Next::AskApi,
        (Some(Outcome::Nak(Some(ErrorCause::SessionNotFound))), Api::None) => Next::Gone,
        (Some(Outcome::Nak(_)), Api::None) => Next::GiveUp(Stuck::Refused),
        (Some(Outcome::NoAnswer), Api::None) => Next::GiveUp(Stuck::Silent),
        (None, Api::None) => Next::GiveUp(Stuck::NotAsked),
    }
}

/// What follows when a router acknowledged and no Stop came.
///
/// Without an API the router is asked once more: one that obeyed answers that it has no such session.
pub fn after_no_stop(asked: u32, api: Api) -> Option<Next> {
    match (api, asked) {
        (Api::SetUp, _) => Some(Next::AskApi),
        (Api::None, 0 | 1) => None,
        (Api::None, 2..) => Some(Next::GiveUp(Stuck::StillThere)),
    }
}

/// Whether a line of the router's list is this session; `ours` is the name under which the line's user goes
/// here: a voucher's user is listed by his code, a device that logged in by itself by its address.
///
/// PPP lines carry the session's id. Hotspot lines do not: there device and address tell, and only
/// where both sides know them.
pub fn is_same(active: &Active, ours: &[u8], session: &Session) -> bool {
    let named = *active.name == *session.username || *ours == *session.username;
    if active.service != session.service || !named {
        return false;
    }
    if let Some(id) = &active.session_id {
        return session
            .key
            .acct_session_id
            .eq_ignore_ascii_case(id.as_bytes());
    }
    let same_device = session.mac.is_none() || active.mac.is_none() || session.mac == active.mac;
    let same_address = session.framed_ip.is_none()
        || active.address.is_none()
        || session.framed_ip == active.address
        // A hotspot lists the address before its translation.
        || session.service == Service::Hotspot && session.mac.is_some();
    same_device && same_address
}

/// Whether a line that is no session by its name is this one by its device: the device has another owner since,
/// or the voucher is not known any more, or was not yet.
pub fn is_same_device(active: &Active, ours: &[u8], session: &Session) -> bool {
    let listed = str::from_utf8(&active.name).ok().and_then(Mac::parse);
    let unknown = |name: &[u8]| name == voucher::UNKNOWN.as_bytes();
    let of_vouchers = voucher::is_username(ours) && voucher::is_username(&session.username);
    let renamed = listed.is_some() && listed == session.mac
        || of_vouchers && (unknown(ours) || unknown(&session.username));
    let hotspot = (active.service, session.service) == (Service::Hotspot, Service::Hotspot);
    hotspot && renamed && session.mac.is_some() && session.mac == active.mac
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use easyisp_shared::id::RouterId;
    use easyisp_shared::ipv6::Prefixes;
    use easyisp_shared::net::Mac;
    use easyisp_shared::time::Timestamp;

    use super::*;
    use crate::sessions::SessionKey;

    #[test]
    fn a_router_whose_list_can_be_read_is_not_taken_at_its_word() {
        let not_found = Some(Outcome::Nak(Some(ErrorCause::SessionNotFound)));
        assert_eq!(after_disconnect(not_found, Api::SetUp), Next::AskApi);
        assert_eq!(after_disconnect(not_found, Api::None), Next::Gone);
        let refused = Some(Outcome::Nak(None));
        assert_eq!(after_disconnect(refused, Api::SetUp), Next::AskApi);
        assert_eq!(
            after_disconnect(refused, Api::None),
            Next::GiveUp(Stuck::Refused)
        );
        let silent = Some(Outcome::NoAnswer);
        assert_eq!(after_disconnect(silent, Api::SetUp), Next::AskApi);
        assert_eq!(
            after_disconnect(silent, Api::None),
            Next::GiveUp(Stuck::Silent)
        );
    }

    #[test]
    fn an_acknowledgement_is_no_proof() {
        let acked = Some(Outcome::Acked);
        assert_eq!(after_disconnect(acked, Api::None), Next::AwaitStop);
        assert_eq!(after_no_stop(1, Api::SetUp), Some(Next::AskApi));
        assert_eq!(after_no_stop(1, Api::None), None, "asked once more");
        assert_eq!(
            after_no_stop(2, Api::None),
            Some(Next::GiveUp(Stuck::StillThere))
        );
    }

    #[test]
    fn a_line_is_a_session_by_its_id_or_by_device_and_address() {
        let device = |octet| Some(Mac::new([octet; 6]));
        let session = Session {
            key: SessionKey {
                router: RouterId(uuid::Uuid::nil()),
                acct_session_id: b"8110000A".as_slice().into(),
                class: Box::default(),
            },
            customer: None,
            username: b"jane".as_slice().into(),
            service: Service::Ppp,
            mac: device(1),
            framed_ip: Some([10, 0, 0, 1].into()),
            prefixes: Prefixes::default(),
            port: Box::default(),
            started_at: Timestamp::default(),
            seen_at: Timestamp::default(),
            secs: 0,
            bytes_in: 0,
            bytes_out: 0,
            bytes_free: 0,
            grant: None,
            closed: None,
        };
        let line = Active {
            id: "*1".into(),
            service: Service::Ppp,
            name: b"jane".to_vec(),
            mac: device(2),
            address: None,
            uptime: Duration::ZERO,
            session_id: Some("8110000a".into()),
            radius: None,
            bytes: None,
            left: None,
        };
        assert!(is_same(&line, b"jane", &session));
        let other = Active {
            session_id: Some("8110000b".into()),
            ..line.clone()
        };
        assert!(!is_same(&other, b"jane", &session));
        let by_device = Active {
            session_id: None,
            ..line
        };
        assert!(!is_same(&by_device, b"jane", &session), "another device");
        let same_device = Active {
            mac: device(1),
            ..by_device
        };
        assert!(is_same(&same_device, b"jane", &session));

        let by_voucher = Session {
            username: b"voucher.0102030405060708".as_slice().into(),
            service: Service::Hotspot,
            ..session
        };
        let code = Active {
            name: b"7K3MQX9A2B".to_vec(),
            service: Service::Hotspot,
            ..same_device
        };
        assert!(is_same(&code, b"voucher.0102030405060708", &by_voucher));
        assert!(!is_same(&code, b"voucher.?", &by_voucher));
        assert!(is_same_device(&code, b"voucher.?", &by_voucher));
        assert!(!is_same_device(&code, b"voucher.11", &by_voucher));
        assert!(!is_same_device(&code, b"7K3MQX9A2B", &by_voucher));
        let address = Active {
            name: b"01:01:01:01:01:01".to_vec(),
            ..code.clone()
        };
        assert!(is_same_device(&address, b"otis", &by_voucher));
        let another = Active {
            mac: device(2),
            ..code
        };
        assert!(!is_same_device(&another, b"voucher.?", &by_voucher));
    }
}
