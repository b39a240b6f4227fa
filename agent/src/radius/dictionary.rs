//! Numbers of the RADIUS world: packet codes, attribute types, and the vendors' own attributes.
//!
//! Attribute names are those of the RFCs and of MikroTik's dictionary, in Rust's spelling.

/// What a packet is (RFC 2865 §3, RFC 2866 §3, RFC 5176 §2, RFC 5997 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are those of the RFCs")]
pub enum Code {
    AccessRequest = 1,
    AccessAccept = 2,
    AccessReject = 3,
    AccountingRequest = 4,
    AccountingResponse = 5,
    AccessChallenge = 11,
    StatusServer = 12,
    DisconnectRequest = 40,
    DisconnectAck = 41,
    DisconnectNak = 42,
    CoaRequest = 43,
    CoaAck = 44,
    CoaNak = 45,
}

impl Code {
    /// The code with this number; `None` for numbers this product never answers.
    pub fn from_number(number: u8) -> Option<Code> {
        Some(match number {
            1 => Code::AccessRequest,
            2 => Code::AccessAccept,
            3 => Code::AccessReject,
            4 => Code::AccountingRequest,
            5 => Code::AccountingResponse,
            11 => Code::AccessChallenge,
            12 => Code::StatusServer,
            40 => Code::DisconnectRequest,
            41 => Code::DisconnectAck,
            42 => Code::DisconnectNak,
            43 => Code::CoaRequest,
            44 => Code::CoaAck,
            45 => Code::CoaNak,
            _ => return None,
        })
    }
}

/// Standard attribute types.
#[expect(missing_docs, reason = "the names are those of the RFCs")]
pub mod attribute {
    pub const USER_NAME: u8 = 1;
    pub const USER_PASSWORD: u8 = 2;
    pub const CHAP_PASSWORD: u8 = 3;
    pub const NAS_IP_ADDRESS: u8 = 4;
    pub const NAS_PORT: u8 = 5;
    pub const SERVICE_TYPE: u8 = 6;
    pub const FRAMED_PROTOCOL: u8 = 7;
    pub const FRAMED_IP_ADDRESS: u8 = 8;
    pub const FRAMED_MTU: u8 = 12;
    pub const REPLY_MESSAGE: u8 = 18;
    pub const FRAMED_ROUTE: u8 = 22;
    pub const STATE: u8 = 24;
    pub const CLASS: u8 = 25;
    pub const VENDOR_SPECIFIC: u8 = 26;
    pub const SESSION_TIMEOUT: u8 = 27;
    pub const IDLE_TIMEOUT: u8 = 28;
    pub const CALLED_STATION_ID: u8 = 30;
    pub const CALLING_STATION_ID: u8 = 31;
    pub const NAS_IDENTIFIER: u8 = 32;
    pub const PROXY_STATE: u8 = 33;
    pub const ACCT_STATUS_TYPE: u8 = 40;
    pub const ACCT_DELAY_TIME: u8 = 41;
    pub const ACCT_INPUT_OCTETS: u8 = 42;
    pub const ACCT_OUTPUT_OCTETS: u8 = 43;
    pub const ACCT_SESSION_ID: u8 = 44;
    pub const ACCT_SESSION_TIME: u8 = 46;
    pub const ACCT_INPUT_PACKETS: u8 = 47;
    pub const ACCT_OUTPUT_PACKETS: u8 = 48;
    pub const ACCT_TERMINATE_CAUSE: u8 = 49;
    pub const ACCT_INPUT_GIGAWORDS: u8 = 52;
    pub const ACCT_OUTPUT_GIGAWORDS: u8 = 53;
    pub const EVENT_TIMESTAMP: u8 = 55;
    pub const CHAP_CHALLENGE: u8 = 60;
    pub const NAS_PORT_TYPE: u8 = 61;
    pub const PORT_LIMIT: u8 = 62;
    pub const TUNNEL_PASSWORD: u8 = 69;
    pub const EAP_MESSAGE: u8 = 79;
    pub const MESSAGE_AUTHENTICATOR: u8 = 80;
    pub const ACCT_INTERIM_INTERVAL: u8 = 85;
    pub const NAS_PORT_ID: u8 = 87;
    pub const FRAMED_POOL: u8 = 88;
    pub const FRAMED_INTERFACE_ID: u8 = 96;
    pub const FRAMED_IPV6_PREFIX: u8 = 97;
    pub const FRAMED_IPV6_POOL: u8 = 100;
    pub const ERROR_CAUSE: u8 = 101;
    pub const DELEGATED_IPV6_PREFIX: u8 = 123;
    pub const FRAMED_IPV6_ADDRESS: u8 = 168;
}

/// MikroTik's attributes, inside Vendor-Specific.
#[expect(
    missing_docs,
    reason = "the names are those of the vendor's dictionary"
)]
pub mod mikrotik {
    pub const VENDOR: u32 = 14988;
    pub const RECV_LIMIT: u8 = 1;
    pub const XMIT_LIMIT: u8 = 2;
    pub const GROUP: u8 = 3;
    pub const RATE_LIMIT: u8 = 8;
    pub const REALM: u8 = 9;
    pub const HOST_IP: u8 = 10;
    pub const RECV_LIMIT_GIGAWORDS: u8 = 14;
    pub const XMIT_LIMIT_GIGAWORDS: u8 = 15;
    pub const TOTAL_LIMIT: u8 = 17;
    pub const TOTAL_LIMIT_GIGAWORDS: u8 = 18;
    pub const ADDRESS_LIST: u8 = 19;
    pub const DELEGATED_IPV6_POOL: u8 = 22;
}

/// The attributes of the Wi-Fi Alliance that a hotspot takes, inside Vendor-Specific.
#[expect(missing_docs, reason = "the names are those of the dictionary")]
pub mod wispr {
    pub const VENDOR: u32 = 14122;
    pub const REDIRECTION_URL: u8 = 4;
    pub const BANDWIDTH_MAX_UP: u8 = 7;
    pub const BANDWIDTH_MAX_DOWN: u8 = 8;
}

/// Microsoft's attributes (RFC 2548), inside Vendor-Specific.
#[expect(missing_docs, reason = "the names are those of RFC 2548")]
pub mod microsoft {
    pub const VENDOR: u32 = 311;
    pub const CHAP_RESPONSE: u8 = 1;
    pub const CHAP_ERROR: u8 = 2;
    pub const MPPE_ENCRYPTION_POLICY: u8 = 7;
    pub const MPPE_ENCRYPTION_TYPES: u8 = 8;
    pub const CHAP_CHALLENGE: u8 = 11;
    pub const CHAP_MPPE_KEYS: u8 = 12;
    pub const MPPE_SEND_KEY: u8 = 16;
    pub const MPPE_RECV_KEY: u8 = 17;
    pub const CHAP2_RESPONSE: u8 = 25;
    pub const CHAP2_SUCCESS: u8 = 26;
}

/// NAS-Port-Type of a port that is no wire: IKEv2 gateways say this (RFC 2865 §5.41).
pub const NAS_PORT_TYPE_VIRTUAL: u32 = 5;

/// Service-Type values that routers here send and accept (RFC 2865 §5.6).
pub mod service_type {
    /// A hotspot login.
    pub const LOGIN: u32 = 1;
    /// PPPoE, PPTP, L2TP.
    pub const FRAMED: u32 = 2;
    /// A person at the device itself, to change it (RFC 2865 §5.6).
    pub const ADMINISTRATIVE: u32 = 6;
    /// A person at the device itself.
    pub const NAS_PROMPT: u32 = 7;
}

/// Framed-Protocol PPP (RFC 2865 §5.7).
pub const FRAMED_PROTOCOL_PPP: u32 = 1;

/// Acct-Terminate-Cause (RFC 2866 §5.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 2866 §5.10")]
pub enum TerminateCause {
    UserRequest,
    LostCarrier,
    LostService,
    IdleTimeout,
    SessionTimeout,
    AdminReset,
    AdminReboot,
    PortError,
    NasError,
    NasRequest,
    NasReboot,
    PortUnneeded,
    PortPreempted,
    PortSuspended,
    ServiceUnavailable,
    Callback,
    UserError,
    HostRequest,
    /// A number RFC 2866 does not name.
    Other(u32),
}

impl From<u32> for TerminateCause {
    fn from(number: u32) -> TerminateCause {
        use TerminateCause::*;
        match number {
            1 => UserRequest,
            2 => LostCarrier,
            3 => LostService,
            4 => IdleTimeout,
            5 => SessionTimeout,
            6 => AdminReset,
            7 => AdminReboot,
            8 => PortError,
            9 => NasError,
            10 => NasRequest,
            11 => NasReboot,
            12 => PortUnneeded,
            13 => PortPreempted,
            14 => PortSuspended,
            15 => ServiceUnavailable,
            16 => Callback,
            17 => UserError,
            18 => HostRequest,
            other => Other(other),
        }
    }
}

/// Why a router refused a CoA or Disconnect (Error-Cause, RFC 5176 §3.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCause {
    /// 201: it was gone already; what was left is removed.
    ResidualContextRemoved,
    /// 401: an attribute this router does not change by CoA.
    UnsupportedAttribute,
    /// 402
    MissingAttribute,
    /// 403: our NAS-* attributes are not the router's own view.
    NasIdentificationMismatch,
    /// 404
    InvalidRequest,
    /// 405
    UnsupportedService,
    /// 406: the router speaks no CoA for this.
    UnsupportedExtension,
    /// 407
    InvalidAttributeValue,
    /// 501
    AdministrativelyProhibited,
    /// 503: no such session on this router.
    SessionNotFound,
    /// 504
    SessionNotRemovable,
    /// 506
    ResourcesUnavailable,
    /// 508: the identification fits several sessions.
    MultipleSessions,
    /// A number without a meaning to us.
    Other(u32),
}

impl From<u32> for ErrorCause {
    fn from(number: u32) -> ErrorCause {
        use ErrorCause::*;
        match number {
            201 => ResidualContextRemoved,
            401 => UnsupportedAttribute,
            402 => MissingAttribute,
            403 => NasIdentificationMismatch,
            404 => InvalidRequest,
            405 => UnsupportedService,
            406 => UnsupportedExtension,
            407 => InvalidAttributeValue,
            501 => AdministrativelyProhibited,
            503 => SessionNotFound,
            504 => SessionNotRemovable,
            506 => ResourcesUnavailable,
            508 => MultipleSessions,
            other => Other(other),
        }
    }
}
