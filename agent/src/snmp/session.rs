//! One device's side of the conversation: what to send it, and what its datagrams mean. Bytes and time in,
//! bytes out; the sockets are [`super::exchange`]'s.

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::pdu::{Kind, Pdu, Request};
use super::usm::{self, Auth, EngineTime, Envelope, Localized, Privacy, Unbelieved};

/// How to enter a device. Holds secrets; made once for each setting, because a password becomes a key slowly.
pub enum Access {
    /// SNMPv2c.
    Community(Zeroizing<Vec<u8>>),
    /// SNMPv3.
    User(User),
}

/// A user of SNMPv3 with the keys of his passwords.
pub struct User {
    name: Vec<u8>,
    auth: Option<(Auth, Zeroizing<Vec<u8>>)>,
    privacy: Option<(Privacy, Zeroizing<Vec<u8>>)>,
}

impl User {
    /// Makes the keys: some milliseconds each.
    pub fn new(
        name: &[u8],
        auth: Option<(Auth, &[u8])>,
        privacy: Option<(Privacy, &[u8])>,
    ) -> User {
        let key = |password| auth.map(|(auth, _)| auth.key_of(password));
        User {
            name: name.to_vec(),
            auth: auth.map(|(auth, password)| (auth, auth.key_of(password))),
            privacy: privacy.and_then(|(privacy, password)| Some((privacy, key(password)?))),
        }
    }

    fn at(&self, engine: &[u8]) -> Localized {
        let (auth, key) = match &self.auth {
            Some((auth, key)) => (*auth, key),
            None => {
                return Localized {
                    engine: engine.to_vec(),
                    name: self.name.clone(),
                    ..Localized::default()
                };
            }
        };
        let privacy = self.privacy.as_ref();
        Localized {
            engine: engine.to_vec(),
            name: self.name.clone(),
            auth: Some((auth, auth.localized(key, engine))),
            privacy: privacy.map(|(privacy, key)| (*privacy, auth.localized(key, engine))),
        }
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Access::Community(_) => "Access(v2c …)",
            Access::User(_) => "Access(v3 …)",
        })
    }
}

/// Why a device does not tell what it is asked. Sentences for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnmpError {
    /// Outside `[site] ranges`: never asked.
    #[error("the device's address is outside the networks this agent may dial ([site] ranges)")]
    OutOfRange,
    /// No answer.
    #[error(
        "the device does not answer SNMP: is it switched on there (/ip service or /snmp), is this agent's \
         address allowed, and is the community right?"
    )]
    Silent,
    /// The network says so.
    #[error("the device cannot be reached: {0}")]
    Unreachable(String),
    /// RFC 3414 usmStatsUnknownUserNames.
    #[error("the device does not know this SNMPv3 user")]
    UnknownUser,
    /// RFC 3414 usmStatsWrongDigests.
    #[error("the SNMPv3 authentication password or protocol is wrong")]
    WrongAuth,
    /// RFC 3414 usmStatsDecryptionErrors.
    #[error("the SNMPv3 privacy password or protocol is wrong")]
    WrongPrivacy,
    /// RFC 3414 usmStatsUnsupportedSecLevels.
    #[error("the device does not take this SNMPv3 user with these protocols")]
    Level,
    /// It keeps refusing.
    #[error("the device refuses with SNMP error {0}")]
    Refused(i32),
    /// The box has no socket for it.
    #[error("this agent cannot open a socket for SNMP: {0}")]
    Socket(String),
}

/// What a datagram means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The answer.
    Answer(Pdu),
    /// Something was learned: send the request again.
    Again,
    /// It says why not.
    Failed(SnmpError),
    /// Nothing for us.
    Nothing,
}

/// The conversation with one device.
pub struct Session {
    access: Arc<Access>,
    engine: Option<Engine>,
    salt: u64,
}

struct Engine {
    user: Localized,
    /// Its time, and when it was heard.
    when: EngineTime,
    heard: Duration,
    /// Whether a signed message said so.
    proved: bool,
}

impl Session {
    /// A conversation that begins. `salt` is random: under one key none may come twice.
    pub fn new(access: Arc<Access>, salt: u64) -> Session {
        Session {
            access,
            engine: None,
            salt,
        }
    }

    /// The datagram that asks `request`; of SNMPv3, first the one that asks who is there.
    pub fn write(&mut self, id: i32, request: &Request, now: Duration) -> Vec<u8> {
        match (&*self.access, &self.engine) {
            (Access::Community(community), _) => request.community_message(community, id),
            (Access::User(_), None) => {
                let nobody = Localized::default();
                let nothing = Request::Get(Vec::new());
                usm::write(&nobody, EngineTime::default(), id, 0, &nothing)
            }
            (Access::User(_), Some(engine)) => {
                self.salt = self.salt.wrapping_add(1);
                usm::write(&engine.user, engine.time(now), id, self.salt, request)
            }
        }
    }

    /// Takes what came for the request `id`.
    pub fn hear(&mut self, id: i32, octets: &[u8], now: Duration) -> Heard {
        match &*self.access {
            Access::Community(_) => match Pdu::read_community_message(octets) {
                Ok(Some(pdu)) if pdu.id == id && pdu.kind == Kind::Response => Heard::Answer(pdu),
                Ok(_) | Err(_) => Heard::Nothing,
            },
            Access::User(user) => {
                let Ok(envelope) = Envelope::read(octets) else {
                    return Heard::Nothing;
                };
                if envelope.id != id {
                    return Heard::Nothing;
                }
                match &mut self.engine {
                    None => {
                        // RFC 3414 §4: the report to a stranger names the engine.
                        if envelope.engine.is_empty() || envelope.engine.len() > LONGEST_ENGINE {
                            return Heard::Nothing;
                        }
                        self.engine = Some(Engine {
                            user: user.at(envelope.engine),
                            when: envelope.when,
                            heard: now,
                            proved: false,
                        });
                        Heard::Again
                    }
                    Some(engine) => {
                        let heard = engine.hear(&envelope, now);
                        if heard == Forgotten::Yes {
                            self.engine = None;
                            return Heard::Again;
                        }
                        heard.into()
                    }
                }
            }
        }
    }

    /// Whether what is asked is enciphered.
    pub fn enciphers(&self) -> bool {
        matches!(&*self.access, Access::User(user) if user.privacy.is_some())
    }

    /// Begins anew: the device may have been replaced.
    pub fn forget(&mut self) {
        self.engine = None;
    }
}

/// What an engine's message means, and whether it is another engine's.
#[derive(PartialEq, Eq)]
enum Forgotten {
    Yes,
    No(Heard),
}

impl From<Forgotten> for Heard {
    fn from(heard: Forgotten) -> Heard {
        match heard {
            Forgotten::Yes => Heard::Again,
            Forgotten::No(heard) => heard,
        }
    }
}

impl Engine {
    fn time(&self, now: Duration) -> EngineTime {
        let passed = now.saturating_sub(self.heard).as_secs();
        EngineTime {
            boots: self.when.boots,
            secs: self
                .when
                .secs
                .saturating_add(u32::try_from(passed).unwrap_or(u32::MAX))
                .min(i32::MAX as u32),
        }
    }

    fn hear(&mut self, envelope: &Envelope<'_>, now: Duration) -> Forgotten {
        let nothing = Forgotten::No(Heard::Nothing);
        let signed = envelope.is_signed_by(&self.user);
        let pdu = match envelope.pdu(&self.user) {
            Ok(pdu) => pdu,
            Err(Unbelieved::Cipher) if signed => {
                return Forgotten::No(Heard::Failed(SnmpError::WrongPrivacy));
            }
            Err(Unbelieved::Broken | Unbelieved::Signature | Unbelieved::Cipher) => return nothing,
        };
        match pdu.kind {
            Kind::Response => {
                // RFC 3414 §3.2: what should be signed and enciphered, and is not, is no answer.
                let level = signed >= self.user.auth.is_some()
                    && envelope.sealed >= self.user.privacy.is_some();
                if !level || envelope.engine != self.user.engine || !self.is_timely(envelope, now) {
                    return nothing;
                }
                if signed {
                    self.learn(envelope.when, now);
                }
                Forgotten::No(Heard::Answer(pdu))
            }
            Kind::Report => self.report(envelope, &pdu, signed, now),
        }
    }

    /// Why the engine does not take a message. What it says unsigned is believed as far as it ends a try.
    fn report(
        &mut self,
        envelope: &Envelope<'_>,
        pdu: &Pdu,
        signed: bool,
        now: Duration,
    ) -> Forgotten {
        let Some((name, _)) = pdu.bindings.first() else {
            return Forgotten::No(Heard::Nothing);
        };
        let failed = |error| Forgotten::No(Heard::Failed(error));
        match name.under(USM_STATS) {
            Some([NOT_IN_TIME, ..]) if signed || self.user.auth.is_none() => {
                self.when = envelope.when;
                self.heard = now;
                self.proved = signed;
                Forgotten::No(Heard::Again)
            }
            Some([UNKNOWN_ENGINE, ..]) => Forgotten::Yes,
            Some([UNKNOWN_USER, ..]) => failed(SnmpError::UnknownUser),
            Some([WRONG_DIGEST, ..]) => failed(SnmpError::WrongAuth),
            Some([NOT_DECIPHERED, ..]) => failed(SnmpError::WrongPrivacy),
            Some([UNSUPPORTED_LEVEL, ..]) => failed(SnmpError::Level),
            // Not in time, and unsigned: its time may be anybody's word. Others are no reports of USM.
            Some(_) | None => Forgotten::No(Heard::Nothing),
        }
    }

    /// RFC 3414 §3.2 step 7b: nothing older than what a signed message said, but for a little.
    fn is_timely(&self, envelope: &Envelope<'_>, now: Duration) -> bool {
        if !self.proved || self.user.auth.is_none() {
            return true;
        }
        let known = self.time(now);
        let told = envelope.when;
        told.boots != u32::MAX >> 1
            && (told.boots > known.boots
                || (told.boots == known.boots && told.secs.saturating_add(WINDOW) >= known.secs))
    }

    fn learn(&mut self, told: EngineTime, now: Duration) {
        if !self.proved || told > self.time(now) {
            self.when = told;
            self.heard = now;
            self.proved = true;
        }
    }
}

/// usmStats, RFC 3414 §5.
const USM_STATS: &[u32] = &[1, 3, 6, 1, 6, 3, 15, 1, 1];
const UNSUPPORTED_LEVEL: u32 = 1;
const NOT_IN_TIME: u32 = 2;
const UNKNOWN_USER: u32 = 3;
const UNKNOWN_ENGINE: u32 = 4;
const WRONG_DIGEST: u32 = 5;
const NOT_DECIPHERED: u32 = 6;
/// Seconds, RFC 3414 §2.2.3.
const WINDOW: u32 = 150;
/// SnmpEngineID, RFC 3411 §5.
const LONGEST_ENGINE: usize = 32;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;
    use crate::snmp::ber::{OCTETS, SEQUENCE, Writer};
    use crate::snmp::oid::Oid;

    fn user() -> Session {
        // Not made of passwords: that takes a megabyte of digest each.
        let key = || Zeroizing::new(vec![7; 20]);
        let user = User {
            name: b"watcher".to_vec(),
            auth: Some((Auth::Sha1, key())),
            privacy: Some((Privacy::Aes128, key())),
        };
        Session::new(Arc::new(Access::User(user)), 1)
    }

    /// A report as an engine sends it to who it does not know.
    fn report(id: i32, counter: u32, boots: i64) -> Vec<u8> {
        let mut scoped = Writer::default();
        scoped.integer(1);
        scoped.oid(&Oid::new(USM_STATS).then(&[counter, 0]));
        scoped.wrap(SEQUENCE, 0);
        scoped.wrap(SEQUENCE, 0);
        for number in [0, 0, 1] {
            scoped.integer(number);
        }
        scoped.wrap(0xa8, 0);
        scoped.octets(b"");
        scoped.octets(b"engine");
        scoped.wrap(SEQUENCE, 0);
        let security = scoped.len();
        for nothing in [b""; 3] {
            scoped.octets(nothing);
        }
        scoped.integer(900);
        scoped.integer(boots);
        scoped.octets(b"engine");
        scoped.wrap(SEQUENCE, security);
        scoped.wrap(OCTETS, security);
        let header = scoped.len();
        scoped.integer(3);
        scoped.octets(&[0]);
        scoped.integer(65_507);
        scoped.integer(i64::from(id));
        scoped.wrap(SEQUENCE, header);
        scoped.integer(3);
        scoped.wrap(SEQUENCE, 0);
        scoped.finish()
    }

    const NOW: Duration = Duration::from_secs(1);

    #[test]
    fn a_stranger_is_told_who_is_there_and_a_forgery_moves_no_clock() {
        let mut session = user();
        let request = Request::Get(vec![Oid::new(&[1, 3, 6, 1, 2, 1, 1, 3, 0])]);
        let asked = session.write(5, &request, NOW);
        assert!(Envelope::read(&asked).unwrap().engine.is_empty());
        assert_eq!(
            session.hear(6, &report(5, UNKNOWN_ENGINE, 3), NOW),
            Heard::Nothing
        );
        assert_eq!(
            session.hear(5, &report(5, UNKNOWN_ENGINE, 3), NOW),
            Heard::Again
        );
        let asked = session.write(6, &request, NOW + Duration::from_secs(10));
        let envelope = Envelope::read(&asked).unwrap();
        assert!(envelope.signed && envelope.sealed);
        assert_eq!(
            envelope.when,
            EngineTime {
                boots: 3,
                secs: 910
            }
        );
        // Unsigned, so anybody's: no other time is believed, and no answer.
        let late = report(6, NOT_IN_TIME, 4);
        assert_eq!(session.hear(6, &late, NOW), Heard::Nothing);
        for (counter, why) in [
            (UNKNOWN_USER, SnmpError::UnknownUser),
            (WRONG_DIGEST, SnmpError::WrongAuth),
            (NOT_DECIPHERED, SnmpError::WrongPrivacy),
            (UNSUPPORTED_LEVEL, SnmpError::Level),
        ] {
            assert_eq!(
                session.hear(6, &report(6, counter, 3), NOW),
                Heard::Failed(why)
            );
        }
        // Another engine under the same address: from the beginning.
        assert_eq!(
            session.hear(6, &report(6, UNKNOWN_ENGINE, 3), NOW),
            Heard::Again
        );
        assert!(
            Envelope::read(&session.write(7, &request, NOW))
                .unwrap()
                .engine
                .is_empty()
        );
    }

    proptest! {
        /// V14: whatever comes, nothing panics, and nobody without the keys is believed.
        #[test]
        fn mutated_answers_are_no_answers(
            turns in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
            strewn in prop::collection::vec(any::<u8>(), 0..40),
            at: prop::sample::Index,
            counter in 0u32..8,
        ) {
            let mut octets = report(5, counter, 3);
            for (index, octet) in turns {
                let place = index.index(octets.len());
                octets[place] ^= octet;
            }
            let place = at.index(octets.len());
            octets.splice(place..place, strewn);
            let mut session = user();
            let request = Request::Get(Vec::new());
            for _ in 0..3 {
                let _sent = session.write(5, &request, NOW);
                let heard = session.hear(5, &octets, NOW);
                prop_assert!(!matches!(heard, Heard::Answer(_)));
            }
            let _community = Pdu::read_community_message(&octets);
        }
    }
}
