//! Codes and devices at a hotspot: what was used is used, and who may bring several brings them.

use easyisp_shared::wire::down::VoucherUseV1;
use easyisp_shared::wire::{Down, DownKind};

use super::*;

/// V5: a voucher was used, here or elsewhere, and its user was deleted: the code is refused, and nobody's first use.
#[tokio::test(flavor = "multi_thread")]
async fn a_used_voucher_is_not_used_again_when_its_user_is_gone() {
    let running = Running::start(site()).await;
    let used = VoucherUseV1 {
        from: start(),
        until: start().plus(Duration::from_secs(3600)),
    };
    let code = running.voucher_used(Some(used)).await;
    let shown = |identifier| {
        let request = running.voucher_datagram(&code, identifier);
        running.send_access(&request, PATIENCE).unwrap()[0]
    };
    assert_eq!(shown(1), 3, "used elsewhere");
    running.stop().await;

    let running = Running::start(site()).await;
    let code = running.voucher().await;
    let shown = |identifier| {
        let request = running.voucher_datagram(&code, identifier);
        running.send_access(&request, PATIENCE).unwrap()[0]
    };
    assert_eq!(shown(1), 2, "used here");
    // The cloud heard of it, and its operator deletes him.
    let his = Uuid::from_u128(77);
    let row = |version, body| DownRecord {
        kind: DownKind::Subscriber.code(),
        id: his,
        version,
        body,
    };
    let mut rows = running.words.rows(&running.key, &Entropy::seeded(1), 3);
    rows.retain(|row| row.id == customer_id("demo001").0);
    let told = Down::decode(rows[0].kind, rows[0].body.as_deref().unwrap());
    let Ok(Down::Subscriber(mut told)) = told else {
        panic!("a subscriber");
    };
    told.customer = easyisp_shared::id::CustomerId(his);
    told.username = b"his".to_vec();
    let told = Down::Subscriber(told).encode();
    running.apply_rows(vec![row(3, Some(told))], 3).await;
    running.apply_rows(vec![row(4, None)], 4).await;
    assert_eq!(shown(2), 3, "and its user deleted");
    running.stop().await;
}

/// A hotspot's own profile lets in one device a name; what the package allows is said with the grant.
#[tokio::test(flavor = "multi_thread")]
async fn a_hotspot_is_told_how_many_devices_share_a_name() {
    let running = Running::start(site()).await;
    let told = |name: &[u8], extra: &[(u8, &[u8])]| {
        let login = Login {
            user_name: name,
            method: Method::Pap { password: name },
            extra,
            signature: Signature::MessageAuthenticator,
        };
        let authenticator: [u8; 16] = Entropy::system().bytes();
        let request = client::access_request(&login, 1, &authenticator, &running.secret).unwrap();
        let reply = running.send_access(&request, PATIENCE).unwrap();
        let packet = Packet::parse(&reply).unwrap();
        assert_eq!(packet.code(), Some(Code::AccessAccept));
        packet.first(attribute::PORT_LIMIT).map(<[u8]>::to_vec)
    };
    let hotspot: [(u8, &[u8]); 4] = [
        (attribute::SERVICE_TYPE, &[0, 0, 0, 1]),
        (attribute::CALLING_STATION_ID, b"AA:BB:CC:00:00:02"),
        (attribute::CALLED_STATION_ID, b"hotspot1"),
        (attribute::FRAMED_IP_ADDRESS, &[10, 5, 50, 9]),
    ];
    assert_eq!(told(b"demo001", &hotspot), Some(vec![0, 0, 0, 5]));
    assert_eq!(told(b"single", &hotspot), Some(vec![0, 0, 0, 1]));
    let line: [(u8, &[u8]); 1] = [(attribute::SERVICE_TYPE, &[0, 0, 0, 2])];
    assert_eq!(told(b"demo001", &line), None);
    running.stop().await;
}

/// A switch that asks for a device by its address says so with a Service-Type: it is no DHCP server.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_at_a_switch_port_is_no_lease() {
    const DEVICE: &[u8] = b"AA:BB:CC:00:00:01";
    let mut words = site();
    words.subscribers[0].macs = vec![Mac::new([0xAA, 0xBB, 0xCC, 0, 0, 1])];
    words.subscribers[0].connection = easyisp_shared::wire::down::Connection::Hotspot;
    let running = Running::start(words).await;
    // With it the site lets devices log in by their addresses.
    let _code = running.voucher().await;
    let asked = |service: &[(u8, &[u8])]| {
        let wired: [(u8, &[u8]); 3] = [
            (attribute::CALLING_STATION_ID, DEVICE),
            (attribute::CALLED_STATION_ID, b"switch1"),
            (attribute::NAS_PORT_TYPE, &[0, 0, 0, 15]),
        ];
        let extra = [service, &wired].concat();
        let login = Login {
            user_name: DEVICE,
            method: Method::Pap { password: DEVICE },
            extra: &extra,
            signature: Signature::MessageAuthenticator,
        };
        let authenticator: [u8; 16] = Entropy::system().bytes();
        let request = client::access_request(&login, 1, &authenticator, &running.secret).unwrap();
        running.send_access(&request, PATIENCE).unwrap()[0]
    };
    let call_check: [(u8, &[u8]); 1] = [(attribute::SERVICE_TYPE, &[0, 0, 0, 10])];
    assert_eq!(asked(&call_check), 2);
    assert_eq!(
        asked(&[]),
        3,
        "a DHCP server asks for a lease that nobody has"
    );
    running.stop().await;
}

/// EAP-Start, by whom the first question is left to us, is answered with it.
#[tokio::test(flavor = "multi_thread")]
async fn who_starts_eap_is_asked_for_his_name() {
    let running = Running::start(site()).await;
    let login = Login {
        user_name: b"demo001",
        method: Method::None,
        extra: &[(attribute::EAP_MESSAGE, b"")],
        signature: Signature::MessageAuthenticator,
    };
    let request = client::access_request(&login, 1, &[7; 16], &running.secret).unwrap();
    let reply = running.send_access(&request, PATIENCE).unwrap();
    let packet = Packet::parse(&reply).unwrap();
    assert_eq!(packet.code(), Some(Code::AccessChallenge));
    let asked = packet.first(attribute::EAP_MESSAGE);
    assert_eq!(asked, Some(&[1, 0, 0, 5, 1][..]));
    assert_eq!(packet.first(attribute::STATE), None);

    let named = [2, 0, 0, 12, 1, b'd', b'e', b'm', b'o', b'0', b'0', b'1'];
    let login = Login {
        extra: &[(attribute::EAP_MESSAGE, &named)],
        ..login
    };
    let request = client::access_request(&login, 2, &[8; 16], &running.secret).unwrap();
    let reply = running.send_access(&request, PATIENCE).unwrap();
    let packet = Packet::parse(&reply).unwrap();
    assert_eq!(
        packet.code(),
        Some(Code::AccessChallenge),
        "the conversation begins"
    );
    assert!(packet.first(attribute::STATE).is_some());
    running.stop().await;
}
