//! Logins from outside: methods, answers, what must be silence.

use easyisp_shared::unlock::Grant;

use super::*;
use crate::status::unlock::Refusal;

#[tokio::test(flavor = "multi_thread")]
async fn every_method_is_accepted_with_what_the_package_gives() {
    let running = Running::start(site()).await;
    let password = b"demo001";
    for method in [
        Method::Pap { password },
        Method::Chap {
            password,
            identifier: 7,
            challenge: [9; 16],
        },
        Method::MsChapV2 {
            password,
            identifier: 7,
            challenge: [9; 16],
            peer_challenge: [8; 16],
        },
    ] {
        let reply = running.log_in(b"demo001", method, 1).unwrap();
        let packet = Packet::parse(&reply).unwrap();
        assert_eq!(packet.code(), Some(Code::AccessAccept), "{method:?}");
        let rate = packet.first_vendor(mikrotik::VENDOR, mikrotik::RATE_LIMIT);
        assert_eq!(rate, Some(&b"10M/20M"[..]));
        assert_eq!(packet.first(attribute::CLASS).map(<[u8]>::len), Some(16));
        assert_eq!(number(&packet, attribute::SESSION_TIMEOUT), 1000);
        let interim = number(&packet, attribute::ACCT_INTERIM_INTERVAL);
        assert!((270..=330).contains(&interim), "{interim}");
        assert_eq!(packet.first(attribute::IDLE_TIMEOUT), None);
    }
    running.stop().await;
}

/// A specific reason only for who knew the password; nobody learns which names exist.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_name_and_a_wrong_password_read_the_same() {
    let running = Running::start(site()).await;
    let message = |name: &[u8], password: &[u8]| {
        let reply = running.log_in(name, Method::Pap { password }, 1).unwrap();
        let packet = Packet::parse(&reply).unwrap();
        assert_eq!(packet.code(), Some(Code::AccessReject));
        packet.first(attribute::REPLY_MESSAGE).unwrap().to_vec()
    };
    assert_eq!(message(b"nobody", b"x"), message(b"demo001", b"x"));
    assert_eq!(message(b"demo021", b"x"), message(b"demo001", b"x"));
    assert_ne!(message(b"demo021", b"demo021"), message(b"demo001", b"x"));

    let outcomes: Vec<LoginOutcome> = running.logins();
    assert!(outcomes.contains(&LoginOutcome::UnknownUser));
    assert!(outcomes.contains(&LoginOutcome::WrongPassword));
    running.stop().await;
}

/// The walled garden is for who proved who he is. Beside it, too, an unknown name and a wrong password are refused, and
/// alike.
#[tokio::test(flavor = "multi_thread")]
async fn who_proved_nothing_is_not_let_into_the_garden() {
    let mut words = site();
    words.refusal = easyisp_shared::entitlement::Refusal::WalledGarden;
    let running = Running::start(words).await;
    let answer = |name: &[u8], password: &[u8]| {
        let chap = Method::Chap {
            password,
            identifier: 7,
            challenge: [9; 16],
        };
        let methods = [Method::Pap { password }, chap];
        methods.map(|method| {
            let reply = running.log_in(name, method, 1).unwrap();
            let packet = Packet::parse(&reply).unwrap();
            let message = packet.first(attribute::REPLY_MESSAGE).map(<[u8]>::to_vec);
            (packet.code(), message)
        })
    };
    let [pap, chap] = answer(b"demo021", b"demo021").map(|(code, _)| code);
    assert_eq!(
        (pap, chap),
        (Some(Code::AccessAccept), Some(Code::AccessAccept))
    );
    let unknown = answer(b"nobody", b"x");
    assert!(
        unknown
            .iter()
            .all(|(code, _)| *code == Some(Code::AccessReject))
    );
    for name in [&b"demo001"[..], b"demo021"] {
        assert_eq!(answer(name, b"x"), unknown);
    }
    running.stop().await;
}

/// A5 V14: another secret is silence, a count on the router, and nobody's failed login: not a customer's, not a guest's
/// with a good code, and not that of somebody who wants into the router itself.
#[tokio::test(flavor = "multi_thread")]
async fn another_secret_is_silence_and_named_on_the_router() {
    let running = Running::start(site()).await;
    let code = running.voucher().await;
    let wrong = Secret::new(b"another");
    let login: (u8, &[u8]) = (attribute::SERVICE_TYPE, &[0, 0, 0, 1]);
    let hotspot: [(u8, &[u8]); 3] = [
        login,
        (attribute::CALLED_STATION_ID, b"hotspot1"),
        (attribute::FRAMED_IP_ADDRESS, &[10, 5, 50, 9]),
    ];
    let name: &[u8] = b"demo001";
    for (user_name, signature, extra) in [
        (name, Signature::MessageAuthenticator, &[][..]),
        (name, Signature::None, &[]),
        (name, Signature::None, &[login]),
        (code.expose().as_bytes(), Signature::None, &hotspot),
    ] {
        let method = Method::Pap {
            password: user_name,
        };
        let login = Login {
            user_name,
            method,
            extra,
            signature,
        };
        let request = client::access_request(&login, 3, &[5; 16], &wrong).unwrap();
        assert!(running.send_access(&request, SILENCE).is_none());
    }
    let overview = running.agent.overview();
    assert_eq!(overview.site.routers()[0].signing().mismatches, 4);
    assert_eq!(running.logins(), []);
    running.stop().await;
}

/// The router is told the paid end itself, however far away. Only while time is not trusted it is told a day, less
/// by chance, so that not everybody comes back at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_month_is_told_as_a_month_and_as_a_day_where_time_is_not_trusted() {
    const DAY: u32 = 86_400;
    let mut words = site();
    words.subscribers[0].paid_until = start().plus(Duration::from_secs(30 * u64::from(DAY)));
    let running = Running::start(words).await;
    let told = |identifier| {
        let reply = running.log_in(b"demo001", DEMO001, identifier).unwrap();
        number(&Packet::parse(&reply).unwrap(), attribute::SESSION_TIMEOUT)
    };
    assert_eq!(told(1), 30 * DAY);
    let jumped = Duration::from_secs(10 * u64::from(DAY));
    running.clock.set(start().plus(jumped));
    let told: Vec<u32> = (2..10).map(told).collect();
    let least = DAY - 255 * 30;
    assert!(
        told.iter().all(|secs| (least..=DAY).contains(secs)),
        "{told:?}"
    );
    assert!(told.iter().any(|secs| *secs != told[0]), "{told:?}");

    // Who dials again days later is judged by the counting: he has what he paid for, and who is over by it is over.
    running
        .clock
        .advance(Duration::from_secs(3 * u64::from(DAY)));
    let reply = running.log_in(b"demo001", DEMO001, 10).unwrap();
    let again = number(&Packet::parse(&reply).unwrap(), attribute::SESSION_TIMEOUT);
    assert!((least..=DAY).contains(&again), "{again}");
    let password = b"single";
    let reply = running.log_in(password, Method::Pap { password }, 11);
    let over = Packet::parse(&reply.unwrap()).unwrap().code();
    assert_eq!(over, Some(Code::AccessReject));
    running.stop().await;
}

/// A code from the phone lets nobody in before it is written down that it was used.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_unlocked_by_what_was_not_stored() {
    let running = Running::start(site()).await;
    let grant = Grant::new(customer_id("demo021"), 4, 0, start()).unwrap();
    let code = grant.code(&running.key).spoken();
    let unlock = async || {
        running
            .agent
            .overview()
            .unlocker
            .unlock("demo021", &code)
            .await
    };
    let comes_in = |identifier| {
        let password = b"demo021";
        let reply = running.log_in(password, Method::Pap { password }, identifier);
        Packet::parse(&reply.unwrap()).unwrap().code() == Some(Code::AccessAccept)
    };
    running.break_disk(
        "create trigger broken before insert on unlocks begin select raise(abort, 'disk'); end",
    );
    assert_eq!(unlock().await, Err(Refusal::NotStored));
    assert!(!comes_in(1));

    running.break_disk("drop trigger broken");
    assert_eq!(unlock().await, Ok(grant.until()));
    assert!(comes_in(2));
    assert_eq!(unlock().await, Err(Refusal::Over));
    running.stop().await;
}

/// A1: a router that signed once is never again believed without a signature, restarts included.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_signs_must_go_on_signing() {
    let running = Running::start(site()).await;
    let method = Method::Pap {
        password: b"demo001",
    };
    assert!(
        running
            .log_in_signed(method, Signature::None, 1, PATIENCE)
            .is_some()
    );
    assert!(
        running
            .log_in_signed(method, Signature::MessageAuthenticator, 2, PATIENCE)
            .is_some()
    );
    assert!(
        running
            .log_in_signed(method, Signature::None, 3, SILENCE)
            .is_none()
    );
    let running = running.restart().await;
    assert!(
        running
            .log_in_signed(method, Signature::None, 4, SILENCE)
            .is_none()
    );
    running.stop().await;
}

/// Whatever arrives, the next honest login is answered.
#[tokio::test(flavor = "multi_thread")]
async fn mutated_datagrams_do_not_stop_the_service() {
    let running = Running::start(site()).await;
    let method = Method::Chap {
        password: b"demo001",
        identifier: 1,
        challenge: [3; 16],
    };
    let honest = [
        running.access_datagram(b"demo001", method, 1),
        running.accounting_datagram(3, "81000001", 300, 1 << 20, 2),
    ];
    let entropy = Entropy::seeded(11);
    for round in 0..20_000u32 {
        let mut datagram = honest[round as usize % 2].clone();
        for _ in 0..=entropy.below(3) {
            let at = entropy.below(datagram.len() as u64) as usize;
            datagram[at] = entropy.bytes::<1>()[0];
        }
        datagram.truncate(entropy.below(datagram.len() as u64 + 1) as usize);
        running
            .socket
            .send_to(&datagram, running.agent.radius_auth())
            .unwrap();
        running
            .socket
            .send_to(&datagram, running.agent.radius_acct())
            .unwrap();
    }
    running.drain();
    for identifier in 100..110 {
        assert!(running.log_in(b"demo001", method, identifier).is_some());
    }
    assert!(running.account(1, "81000009", 0, 0).is_some());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_server_is_answered_on_both_ports() {
    let running = Running::start(site()).await;
    let request = client::status_server(1, &[4; 16], &running.secret);
    let reply = running.send_access(&request, PATIENCE).unwrap();
    assert_eq!(
        Packet::parse(&reply).unwrap().code(),
        Some(Code::AccessAccept)
    );
    let reply = running.send_accounting(&request, PATIENCE).unwrap();
    assert_eq!(
        Packet::parse(&reply).unwrap().code(),
        Some(Code::AccountingResponse)
    );
    running.stop().await;
}

/// One place, fifty devices, over the wire.
#[tokio::test(flavor = "multi_thread")]
async fn one_place_is_given_once() {
    let running = Running::start(site()).await;
    let accepted = (0..50u8)
        .filter(|device| {
            let mac = Mac::new([*device; 6]).to_string();
            let login = Login {
                user_name: b"single",
                method: Method::Pap {
                    password: b"single",
                },
                extra: &[(attribute::CALLING_STATION_ID, mac.as_bytes())],
                signature: Signature::MessageAuthenticator,
            };
            let request = client::access_request(&login, *device, &[*device; 16], &running.secret);
            let reply = running.send_access(&request.unwrap(), PATIENCE).unwrap();
            Packet::parse(&reply).unwrap().code() == Some(Code::AccessAccept)
        })
        .count();
    assert_eq!(accepted, 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_page_tells_what_is() {
    let running = Running::start(site()).await;
    running.log_in(b"demo001", DEMO001, 1).unwrap();
    running.account(1, "81000001", 0, 0).unwrap();
    let body = doctor::fetch_status(running.agent.status()).await.unwrap();
    let report: status::Report = serde_json::from_str(&body).unwrap();
    assert_eq!((report.subscribers, report.sessions), (3, 1));
    assert_eq!(report.counters["accepted"], 1);
    assert!(report.to_string().contains("online       1"));
    running.stop().await;
}
