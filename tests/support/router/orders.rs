//! `/radius incoming`: CoA and Disconnect, judged and obeyed as RouterOS does, or as scripted.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use md5::{Digest, Md5};
use tokio::net::UdpSocket;

use easyisp_agent::radius::builder::{Builder, Signature};
use easyisp_agent::radius::dictionary::{attribute, mikrotik};
use easyisp_agent::radius::{Code, Packet};
use easyisp_shared::time::Timestamp;

use super::Router;
use super::grants::Grants;
use super::request::hmac_md5;
use super::session::{Cause, Service, Session};
use super::wiring::Wiring;
use crate::scenario::Manners;

/// How far an Event-Timestamp may be off (RFC 5176 §3.3).
const STALE: Duration = Duration::from_secs(300);
/// How many answers are kept for copies of their requests.
const MOST_ANSWERS: usize = 64;

/// An order whose authenticator was checked.
struct Order<'a> {
    packet: Packet<'a>,
    disconnect: bool,
}

/// Why an order is not carried out (Error-Cause).
struct Nak(u32);

/// Takes orders until the router stops.
pub(super) async fn listen(router: Router, socket: UdpSocket) {
    let mut buffer = [0; 4096];
    let mut answered: VecDeque<(SocketAddr, Vec<u8>, Vec<u8>)> = VecDeque::new();
    loop {
        let Ok((length, source)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let (datagram, _) = buffer.split_at(length);

        let copy = answered
            .iter()
            .find(|(from, request, _)| *from == source && request == datagram);
        let answer = match copy {
            Some((_, _, answer)) => answer.clone(),
            None => {
                let Some(answer) = take(&router, source, datagram) else {
                    continue;
                };
                if answered.len() == MOST_ANSWERS {
                    answered.pop_front();
                }
                answered.push_back((source, datagram.to_vec(), answer.clone()));
                answer
            }
        };
        // An answer that cannot leave is one the network lost.
        let _ = socket.send_to(&answer, source).await;
    }
}

/// Judges and carries out one datagram; the answer, or silence.
fn take(router: &Router, source: SocketAddr, datagram: &[u8]) -> Option<Vec<u8>> {
    let wiring = router.wiring();
    if wiring.incoming.is_none() || wiring.incoming != router.incoming().map(|it| it.port()) {
        return None;
    }
    let now = router.shared.clock.now();
    let order = Packet::parse(datagram)
        .ok()
        .and_then(|packet| verify(packet, source, &wiring, now));
    let Some(order) = order else {
        router.change(|state| state.counters.bad_orders += 1);
        return None;
    };
    router.change(|state| state.counters.orders += 1);

    let away = router.is_away();
    let manners = {
        let state = router.state();
        match state.is_cut() || away {
            true => Manners::Ignore,
            false => state.manners,
        }
    };
    let outcome = match manners {
        Manners::Ignore => return None,
        Manners::Nak(cause) => Err(Nak(cause)),
        Manners::AckWithoutEffect | Manners::ForgedAck => Ok(()),
        Manners::Obey => obey(router, &order),
    };
    router.change(|state| match outcome {
        Ok(()) => state.counters.acks += 1,
        Err(Nak(_)) => state.counters.naks += 1,
    });
    Some(answer(router, &order, outcome, manners))
}

/// Accepts orders from a RADIUS server's address with a right authenticator and a fresh stamp.
fn verify<'a>(
    packet: Packet<'a>,
    source: SocketAddr,
    wiring: &Wiring,
    now: Timestamp,
) -> Option<Order<'a>> {
    let disconnect = match packet.code()? {
        Code::DisconnectRequest => true,
        Code::CoaRequest => false,
        _ => return None, // nothing else is an order
    };
    let bytes = packet.bytes();
    let secret = wiring.secret_text.as_bytes();
    let digest: [u8; 16] = Md5::new()
        .chain_update(&bytes[..4])
        .chain_update([0; 16])
        .chain_update(&bytes[20..])
        .chain_update(secret)
        .finalize()
        .into();
    let stamp = packet
        .first(attribute::EVENT_TIMESTAMP)
        .and_then(|value| value.try_into().ok());
    let stamp = stamp.map(|octets| Timestamp::from_secs(u32::from_be_bytes(octets).into()));
    let fresh = stamp.is_none_or(|stamp| stamp.since(now).max(now.since(stamp)) <= STALE);
    let known = wiring
        .servers
        .iter()
        .any(|server| server.auth.ip() == source.ip());

    let good =
        known && fresh && digest == *packet.authenticator() && signature_is_good(&packet, secret);
    good.then_some(Order { packet, disconnect })
}

/// A Message-Authenticator is over the packet with zeros in its own place and the authenticator's.
fn signature_is_good(packet: &Packet<'_>, secret: &[u8]) -> bool {
    let Some(signature) = packet.first(attribute::MESSAGE_AUTHENTICATOR) else {
        return true;
    };
    let mut bytes = packet.bytes().to_vec();
    bytes[4..20].fill(0);
    let mut at = 20;
    while let [kind, length, ..] = bytes[at..] {
        let end = at + usize::from(length);
        if kind == attribute::MESSAGE_AUTHENTICATOR {
            bytes[at + 2..end].fill(0);
        }
        at = end;
    }
    hmac_md5(secret, &bytes) == signature
}

/// Does to the sessions what was ordered.
fn obey(router: &Router, order: &Order<'_>) -> Result<(), Nak> {
    let packet = &order.packet;
    let own = router.shared.settings.source.octets();
    if packet
        .first(attribute::NAS_IP_ADDRESS)
        .is_some_and(|address| address != own)
    {
        return Err(Nak(403));
    }
    let named = [
        attribute::USER_NAME,
        attribute::ACCT_SESSION_ID,
        attribute::FRAMED_IP_ADDRESS,
    ];
    if named.iter().all(|kind| packet.first(*kind).is_none()) {
        return Err(Nak(402));
    }
    let hit: Vec<Session> = router
        .sessions()
        .into_iter()
        .filter(|session| is_meant(packet, session))
        .collect();
    if hit.is_empty() {
        return Err(Nak(503));
    }
    // "radius disconnect with no ip provided": the answer is ACK all the same.
    let address = packet.first(attribute::FRAMED_IP_ADDRESS);
    let reachable = |session: &&Session| session.service == Service::Pppoe || address.is_some();
    let hit: Vec<&Session> = hit.iter().filter(reachable).collect();

    if order.disconnect {
        for session in hit {
            router.take_down(&session.id, Cause::AdminReset);
        }
        return Ok(());
    }
    let change = changeable(packet)?;
    for session in hit {
        router.with_session(&session.id, |session| session.change(change.clone()));
    }
    Ok(())
}

/// Everything that identifies a session must fit it.
fn is_meant(packet: &Packet<'_>, session: &Session) -> bool {
    let fits = |kind, own: &[u8]| packet.first(kind).is_none_or(|value| value == own);
    fits(attribute::USER_NAME, session.user.as_bytes())
        && fits(attribute::ACCT_SESSION_ID, session.id.as_bytes())
        && fits(attribute::FRAMED_IP_ADDRESS, &session.address.octets())
        && fits(attribute::CALLING_STATION_ID, session.mac.as_bytes())
}

/// What RouterOS changes by CoA; address, pool and routes it does not.
fn changeable(packet: &Packet<'_>) -> Result<Grants, Nak> {
    const FRAMED_ROUTE: u8 = 22;
    let vendor = |kind| packet.first_vendor(mikrotik::VENDOR, kind);
    let refused = packet.first(attribute::FRAMED_POOL).is_some()
        || packet.first(FRAMED_ROUTE).is_some()
        || vendor(mikrotik::ADDRESS_LIST).is_some()
        || vendor(mikrotik::TOTAL_LIMIT).is_some();
    if refused {
        return Err(Nak(401));
    }
    let change = Grants::read(packet);
    match &change.rate_limit {
        Some(limit) if !is_rate_limit(limit) => Err(Nak(407)),
        Some(_) | None => Ok(change),
    }
}

/// `rate [burst [threshold [time [priority [minimum]]]]]`, each but the priority `up[/down]`.
fn is_rate_limit(text: &str) -> bool {
    let is_rate = |text: &str| {
        let digits = text.strip_suffix(['k', 'M']).unwrap_or(text);
        !digits.is_empty()
            && digits.len() < 10
            && digits.bytes().all(|digit| digit.is_ascii_digit())
    };
    let fields: Vec<&str> = text.split(' ').collect();
    let fit = fields.iter().enumerate().all(|(place, field)| match place {
        4 => matches!(field.parse(), Ok(1..=8)),
        _ => field.split('/').count() <= 2 && field.split('/').all(is_rate),
    });
    fit && fields.len() <= 6
}

fn answer(
    router: &Router,
    order: &Order<'_>,
    outcome: Result<(), Nak>,
    manners: Manners,
) -> Vec<u8> {
    let code = match (order.disconnect, &outcome) {
        (true, Ok(())) => Code::DisconnectAck,
        (true, Err(_)) => Code::DisconnectNak,
        (false, Ok(())) => Code::CoaAck,
        (false, Err(_)) => Code::CoaNak,
    };
    let mut answer = Builder::new(Vec::new(), code, order.packet.identifier(), Signature::None);
    if let Err(Nak(cause)) = outcome {
        answer
            .push_number(attribute::ERROR_CAUSE, cause)
            .expect("an empty answer has room");
    }
    let mut bytes = answer.sign_answer(order.packet.authenticator(), &router.wiring().secret);
    if manners == Manners::ForgedAck {
        bytes[4..20].fill(0x5a);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vendors_own_rate_limits_are_taken() {
        for good in [
            "128k",
            "64k/128M",
            "64k 256k",
            "64k/64k 256k/256k 128k/128k 10/10",
            "10M/20M 0/0 0/0 0/0 5 2M/4M",
        ] {
            assert!(is_rate_limit(good), "{good}");
        }
        for bad in [
            "",
            "10m",
            "1G",
            "1.5M",
            "10M/20M/30M",
            "10M/20M 0/0 0/0 0/0 9",
            "10M  20M",
            "M",
        ] {
            assert!(!is_rate_limit(bad), "{bad}");
        }
    }
}
