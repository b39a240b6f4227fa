//! Requests that arrive more than once, and identifiers that are used again.

use easyisp_shared::id::VoucherId;
use easyisp_shared::voucher::VoucherCode;
use easyisp_shared::wire::down::{VoucherUseV1, VoucherV1, secret_place};
use easyisp_shared::wire::{DownKind, UpKind};

use super::*;
use crate::site::description::package_id;

/// A4: a copy gets the same octets and changes nothing twice; one that arrives while the first is being
/// worked on is dropped, also where the first waits for the disk to use a voucher up.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_gets_the_same_answer_once_decided() {
    let running = Running::start(site()).await;
    let request = running.access_datagram(b"demo001", DEMO001, 5);
    let first = running.send_access(&request, PATIENCE).unwrap();
    for _ in 0..20 {
        assert_eq!(running.send_access(&request, PATIENCE).unwrap(), first);
    }

    let code = running.voucher().await;
    let outside = running.outside();
    outside.execute_batch("begin immediate").unwrap();
    let request = running.voucher_datagram(&code, 6);
    for _ in 0..3 {
        assert!(running.send_access(&request, SILENCE / 3).is_none());
    }
    let report = running.accounting_datagram(1, "81000001", 0, 0, 9);
    for _ in 0..3 {
        assert!(running.send_accounting(&report, SILENCE / 3).is_none());
    }
    outside.execute_batch("rollback").unwrap();
    let answers = running.answers(2);
    let answer_to = |request: &[u8]| {
        let is_it =
            |answer: &&Vec<u8>| client::read_answer(answer, request, &running.secret).is_ok();
        answers.iter().find(is_it).unwrap().clone()
    };
    let accept = answer_to(&request);
    assert_eq!(
        Packet::parse(&accept).unwrap().code(),
        Some(Code::AccessAccept)
    );
    let answered = answer_to(&report);
    assert!(running.answers(1).is_empty(), "one answer each");

    assert_eq!(running.send_access(&request, PATIENCE).unwrap(), accept);
    assert_eq!(
        running.send_accounting(&report, PATIENCE).unwrap(),
        answered
    );
    assert_eq!(running.accounting().len(), 1);
    let used = running.told(UpKind::Redemption.lane(), |up| match up {
        Up::Redemption(told) => Some(told),
        Up::Accounting(_)
        | Up::Login(_)
        | Up::CommandResult(_)
        | Up::Heartbeat(_)
        | Up::Device(_)
        | Up::Router(_)
        | Up::Pools(_)
        | Up::Moving(_)
        | Up::LocalSecrets(_)
        | Up::Keepers(_)
        | Up::Bind(_)
        | Up::Lines(_)
        | Up::Unlock(_)
        | Up::BroughtUp(_)
        | Up::Logs(_)
        | Up::Configuration(_)
        | Up::Metrics(_)
        | Up::PackedMetrics(_) => None,
    });
    assert_eq!(used.len(), 1, "used up once");
    running.stop().await;
}

/// A busy router goes through its 256 identifiers in no time: the same identifier with another authenticator
/// is another login, and each gets the answer to its own.
#[tokio::test(flavor = "multi_thread")]
async fn an_identifier_that_is_used_again_asks_anew() {
    let running = Running::start(site()).await;
    let wrong = Method::Pap { password: b"wrong" };
    let requests: Vec<(Vec<u8>, Code)> = (0..60)
        .map(|number| match number % 2 {
            0 => (
                running.access_datagram(b"demo001", DEMO001, 7),
                Code::AccessAccept,
            ),
            _ => (
                running.access_datagram(b"single", wrong, 7),
                Code::AccessReject,
            ),
        })
        .collect();
    for (request, _) in &requests {
        let to = running.agent.radius_auth();
        running.socket.send_to(request, to).unwrap();
    }
    let answers = running.answers(requests.len());
    for (request, code) in &requests {
        let own: Vec<Option<Code>> = answers
            .iter()
            .filter_map(|answer| client::read_answer(answer, request, &running.secret).ok())
            .map(|answer| answer.code())
            .collect();
        assert_eq!(own, [Some(*code)]);
    }
    running.stop().await;
}

/// Whose code it is outlives a restart: his device comes in again with it, and no other does.
#[tokio::test(flavor = "multi_thread")]
async fn a_used_code_is_its_devices_after_a_restart() {
    let running = Running::start(site()).await;
    let code = running.voucher().await;
    let comes_in = |running: &Running, device: &[u8], identifier| {
        let request = running.voucher_datagram_of(&code, device, identifier);
        let reply = running.send_access(&request, PATIENCE).unwrap();
        Packet::parse(&reply).unwrap().code() == Some(Code::AccessAccept)
    };
    assert!(comes_in(&running, HIS, 1));

    let running = running.restart().await;
    running.voucher().await;
    assert!(!comes_in(&running, b"AA:BB:CC:00:00:08", 2));
    assert!(comes_in(&running, HIS, 3));
    running.stop().await;
}

const HIS: &[u8] = b"AA:BB:CC:00:00:09";

impl Running {
    /// Hands the agent a voucher that nobody used; its code.
    pub(super) async fn voucher(&self) -> VoucherCode {
        self.voucher_used(None).await
    }

    /// The same, and this is what the cloud says of its use.
    pub(super) async fn voucher_used(&self, used: Option<VoucherUseV1>) -> VoucherCode {
        let entropy = Entropy::seeded(4);
        let code = VoucherCode::draw("", 10, &entropy);
        let key = SealKey::new([8; 32]);
        let row = VoucherV1 {
            voucher: VoucherId(Uuid::from_u128(77)),
            digest: code.digest(&key),
            package: package_id("basic"),
            secs: 3600,
            bytes: None,
            expires: None,
            used,
        };
        let (id, down) = (row.voucher.0, easyisp_shared::wire::Down::Voucher(row));
        let mut rows = self.words.rows(&self.key, &entropy, 2);
        rows.retain(|row| row.kind == DownKind::Policy.code());
        for policy in &mut rows {
            let body = policy.body.as_deref().unwrap_or_default();
            let decoded = easyisp_shared::wire::Down::decode(policy.kind, body);
            let Ok(easyisp_shared::wire::Down::Policy(mut told)) = decoded else {
                panic!("a policy");
            };
            let place = secret_place(DownKind::Policy, policy.id, "voucher_key");
            told.voucher_key = self.key.seal(&place, key.expose(), &entropy);
            told.mac_login = true;
            policy.body = Some(easyisp_shared::wire::Down::Policy(told).encode());
        }
        rows.push(DownRecord {
            kind: down.kind().code(),
            id,
            version: 2,
            body: Some(down.encode()),
        });
        self.apply_rows(rows, 2).await;
        code
    }

    pub(super) fn voucher_datagram(&self, code: &VoucherCode, identifier: u8) -> Vec<u8> {
        self.voucher_datagram_of(code, HIS, identifier)
    }

    fn voucher_datagram_of(&self, code: &VoucherCode, device: &[u8], identifier: u8) -> Vec<u8> {
        let login = Login {
            user_name: code.expose().as_bytes(),
            method: Method::Pap {
                password: code.expose().as_bytes(),
            },
            extra: &[
                (attribute::SERVICE_TYPE, &[0, 0, 0, 1]),
                (attribute::CALLING_STATION_ID, device),
                (attribute::CALLED_STATION_ID, b"hotspot1"),
                (attribute::FRAMED_IP_ADDRESS, &[10, 5, 50, 9]),
            ],
            signature: Signature::MessageAuthenticator,
        };
        client::access_request(&login, identifier, &[6; 16], &self.secret).unwrap()
    }

    /// What arrives, until there are `most` or nothing more comes.
    fn answers(&self, most: usize) -> Vec<Vec<u8>> {
        let mut answers = Vec::new();
        while answers.len() < most {
            let patience = if most > 1 { PATIENCE } else { SILENCE * 3 };
            self.socket.set_read_timeout(Some(patience)).unwrap();
            let mut buffer = [0; 4096];
            let Ok((length, _)) = self.socket.recv_from(&mut buffer) else {
                break;
            };
            answers.push(buffer[..length].to_vec());
        }
        answers
    }
}
