//! The ladder by which a session is ended: Disconnect, then the router's API; and what proves the end.
//!
//! An ACK is no proof: some routers give it and do nothing. Proof is the Stop in accounting, or the
//! router's own list of who is online, or its word that it has no such session.

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

/// Whether a line of the router's list is this session.
///
/// PPP lines carry the session's id. Hotspot lines do not: there device and address tell, and only
/// where both sides know them.
pub fn is_same(active: &Active, session: &Session) -> bool {
    if active.service != session.service || *active.name != *session.username {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use easyisp_shared::id::RouterId;
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
        assert!(is_same(&line, &session));
        let other = Active {
            session_id: Some("8110000b".into()),
            ..line.clone()
        };
        assert!(!is_same(&other, &session));
        let by_device = Active {
            session_id: None,
            ..line
        };
        assert!(!is_same(&by_device, &session), "another device");
        let same_device = Active {
            mac: device(1),
            ..by_device
        };
        assert!(is_same(&same_device, &session));
    }
}
