//! What a MikroTik sends: logins and session reports, made before the clock runs.

use anyhow::Result;
use easyisp_agent::radius::Secret;
use easyisp_agent::radius::builder::Signature;
use easyisp_agent::radius::client::{Login, Method, access_request, accounting_request};
use easyisp_agent::radius::dictionary::attribute;
use rand::RngExt;
use rand::rngs::SmallRng;

use super::users::User;
use super::wire::identifier;

/// How the password is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    Pap,
    Chap,
    MsChapV2,
}

/// Requests in the order they go out, each made for its place on a wire.
pub struct Requests {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Requests {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn at(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }

    /// Logins of `users` in turn, each with an authenticator of its own: no answer to one can come
    /// from a server's memory of another.
    pub fn logins(count: usize, proof: Proof, users: u32, secret: &Secret) -> Result<Requests> {
        let mut random: SmallRng = rand::make_rng();
        Requests::make(count, |turn| {
            let user = User::at(turn as u64, users);
            let password = user.password();
            login(
                user,
                password.as_bytes(),
                proof,
                identifier(turn),
                &mut random,
                secret,
            )
        })
    }

    /// Whole sessions, a thousand at a time: their Starts, eight rounds of Interims, their Stops.
    pub fn sessions(count: usize, first: u64, users: u32, secret: &Secret) -> Result<Requests> {
        Requests::make(count, |turn| {
            let (group, within) = (turn as u64 / GROUP_REPORTS, turn as u64 % GROUP_REPORTS);
            let session = first + group * GROUP + within % GROUP;
            let report = match within / GROUP {
                0 => Report::Start,
                step if step == REPORTS - 1 => Report::Stop { after: step },
                step => Report::Interim { after: step },
            };
            let user = User::at(session, users);
            account(user, session, report, &[], identifier(turn), secret)
        })
    }

    fn make(count: usize, mut one: impl FnMut(usize) -> Result<Vec<u8>>) -> Result<Requests> {
        let mut requests = Requests {
            bytes: Vec::with_capacity(count * 256),
            ends: Vec::with_capacity(count),
        };
        for turn in 0..count {
            requests.bytes.extend(one(turn)?);
            requests.ends.push(requests.bytes.len());
        }
        Ok(requests)
    }
}

const GROUP: u64 = 1000;
/// Start, eight Interims, Stop.
const REPORTS: u64 = 10;
const GROUP_REPORTS: u64 = GROUP * REPORTS;

/// A PPPoE login as a current RouterOS sends it, signed.
pub fn login(
    user: User,
    password: &[u8],
    proof: Proof,
    identifier: u8,
    random: &mut SmallRng,
    secret: &Secret,
) -> Result<Vec<u8>> {
    let (name, mac) = (user.name(), user.mac());
    let method = match proof {
        Proof::Pap => Method::Pap { password },
        Proof::Chap => Method::Chap {
            password,
            identifier: 1,
            challenge: random.random(),
        },
        Proof::MsChapV2 => Method::MsChapV2 {
            password,
            identifier: 1,
            challenge: random.random(),
            peer_challenge: random.random(),
        },
    };
    let login = Login {
        user_name: name.as_bytes(),
        method,
        extra: &[
            (attribute::SERVICE_TYPE, &FRAMED),
            (attribute::FRAMED_PROTOCOL, &PPP),
            (attribute::NAS_PORT_TYPE, &ETHERNET),
            (attribute::CALLING_STATION_ID, mac.as_bytes()),
            (attribute::CALLED_STATION_ID, b"easyisp"),
            (attribute::NAS_PORT_ID, b"ether2"),
            (attribute::NAS_IDENTIFIER, b"MikroTik"),
            (attribute::NAS_IP_ADDRESS, &ROUTER),
        ],
        signature: Signature::MessageAuthenticator,
    };
    Ok(access_request(
        &login,
        identifier,
        &random.random(),
        secret,
    )?)
}

/// What is told of a session; `after` counts interim intervals.
#[derive(Clone, Copy, Debug)]
pub enum Report {
    Start,
    Interim { after: u64 },
    Stop { after: u64 },
}

/// A session report as RouterOS sends it for PPPoE; `class` is what the Accept carried.
pub fn account(
    user: User,
    session: u64,
    report: Report,
    class: &[u8],
    identifier: u8,
    secret: &Secret,
) -> Result<Vec<u8>> {
    let (name, mac, address) = (user.name(), user.mac(), user.address());
    let (session_id, unique) = (format!("{session:08x}"), session.to_be_bytes());
    // RFC 2866 §5.1.
    let (status, after) = match report {
        Report::Start => ([0, 0, 0, 1], 0),
        Report::Stop { after } => ([0, 0, 0, 2], after),
        Report::Interim { after } => ([0, 0, 0, 3], after),
    };
    let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes();
    let (seconds, down, up) = (
        number(after * 300),
        number(after * 37_500_000),
        number(after * 4_100_000),
    );
    let mut attributes: Vec<(u8, &[u8])> = vec![
        (attribute::ACCT_STATUS_TYPE, &status),
        (attribute::USER_NAME, name.as_bytes()),
        (attribute::ACCT_SESSION_ID, session_id.as_bytes()),
        (attribute::SERVICE_TYPE, &FRAMED),
        (attribute::FRAMED_PROTOCOL, &PPP),
        (attribute::NAS_PORT_TYPE, &ETHERNET),
        (attribute::NAS_PORT, &unique[4..]),
        (attribute::CALLING_STATION_ID, mac.as_bytes()),
        (attribute::CALLED_STATION_ID, b"easyisp"),
        (attribute::NAS_PORT_ID, b"ether2"),
        (attribute::FRAMED_IP_ADDRESS, &address),
        (attribute::NAS_IDENTIFIER, b"MikroTik"),
        (attribute::NAS_IP_ADDRESS, &ROUTER),
    ];
    if !class.is_empty() {
        attributes.push((attribute::CLASS, class));
    }
    if after > 0 {
        attributes.extend([
            (attribute::ACCT_SESSION_TIME, &seconds[..]),
            (attribute::ACCT_INPUT_OCTETS, &up),
            (attribute::ACCT_OUTPUT_OCTETS, &down),
            (attribute::ACCT_INPUT_GIGAWORDS, &[0; 4]),
            (attribute::ACCT_OUTPUT_GIGAWORDS, &[0; 4]),
        ]);
    }
    if matches!(report, Report::Stop { .. }) {
        attributes.push((attribute::ACCT_TERMINATE_CAUSE, &USER_REQUEST));
    }
    Ok(accounting_request(&attributes, identifier, secret)?)
}

const FRAMED: [u8; 4] = [0, 0, 0, 2];
const PPP: [u8; 4] = [0, 0, 0, 1];
const ETHERNET: [u8; 4] = [0, 0, 0, 15];
const USER_REQUEST: [u8; 4] = [0, 0, 0, 1];
const ROUTER: [u8; 4] = [127, 0, 0, 1];
