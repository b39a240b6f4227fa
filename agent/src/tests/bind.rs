//! First logins that bind a customer to his devices.

use easyisp_shared::entitlement::Reason;
use easyisp_shared::wire::up::BindV1;

use super::*;

/// The first device is written down before it is let in; the next is a wrong one, after a restart too.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_device_is_bound_and_the_next_is_refused() {
    let running = Running::start(binding(1, false)).await;
    assert_eq!(from(&running, 1), Some(Code::AccessAccept));
    assert_eq!(from(&running, 1), Some(Code::AccessAccept), "it is his");
    assert_eq!(from(&running, 2), Some(Code::AccessReject));
    let refused = LoginOutcome::Refused(Reason::WrongMac);
    assert_eq!(running.logins(), [LoginOutcome::Accepted, refused]);
    let bound = binds(&running);
    assert_eq!(bound.len(), 1);
    assert_eq!((bound[0].mac, bound[0].instead_of), (device(1), None));

    let running = running.restart().await;
    assert_eq!(from(&running, 2), Some(Code::AccessReject));
    assert_eq!(from(&running, 1), Some(Code::AccessAccept));
    assert_eq!(binds(&running).len(), 1);
    running.stop().await;
}

/// Where the terms say so, one more takes the place of the oldest.
#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_leaves_where_the_terms_say_so() {
    let running = Running::start(binding(2, true)).await;
    for number in [1, 2, 3] {
        assert_eq!(from(&running, number), Some(Code::AccessAccept), "{number}");
    }
    let left: Vec<Option<Mac>> = binds(&running)
        .into_iter()
        .map(|bind| bind.instead_of)
        .collect();
    assert_eq!(left, [None, None, Some(device(1))]);
    let site = running.agent.overview().site.clone();
    let subscriber = site.subscriber(b"demo001").unwrap();
    assert_eq!(site.bound(subscriber.id), [device(2), device(3)]);
    running.stop().await;
}

/// What cannot be written down binds nobody and lets nobody in; the place stays free.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_bound_by_what_was_not_stored() {
    let running = Running::start(binding(1, false)).await;
    running.break_disk(
        "create trigger broken before insert on binds begin select raise(abort, 'disk'); end",
    );
    assert_eq!(from(&running, 1), Some(Code::AccessReject));
    assert_eq!(running.logins(), [LoginOutcome::NotStored]);
    running.break_disk("drop trigger broken");
    assert_eq!(from(&running, 2), Some(Code::AccessAccept));
    assert_eq!(from(&running, 1), Some(Code::AccessReject));
    running.stop().await;
}

/// Two devices that come at once for one place: one gets it.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_come_at_once_one_is_bound() {
    let running = Running::start(binding(1, false)).await;
    let codes = std::thread::scope(|scope| {
        let asked = [1, 2, 3, 4].map(|number| {
            scope.spawn({
                let running = &running;
                move || from(running, number)
            })
        });
        asked.map(|asked| asked.join().unwrap())
    });
    let accepted = codes
        .iter()
        .filter(|code| **code == Some(Code::AccessAccept));
    assert_eq!(accepted.count(), 1, "{codes:?}");
    assert_eq!(binds(&running).len(), 1);
    running.stop().await;
}

fn binding(macs: u8, oldest_out: bool) -> Description {
    Description {
        bind_macs: macs,
        bind_oldest_out: oldest_out,
        ..site()
    }
}

fn device(number: u8) -> Mac {
    Mac::new([0xAA, 0xBB, 0xCC, 0, 0, number])
}

/// `demo001` logs in from this device, over a socket of its own.
fn from(running: &Running, number: u8) -> Option<Code> {
    let calling = device(number).to_string();
    let login = Login {
        user_name: b"demo001",
        method: DEMO001,
        extra: &[(attribute::CALLING_STATION_ID, calling.as_bytes())],
        signature: Signature::MessageAuthenticator,
    };
    let authenticator: [u8; 16] = Entropy::system().bytes();
    let request = client::access_request(&login, number, &authenticator, &running.secret).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
        .send_to(&request, running.agent.radius_auth())
        .unwrap();
    let mut buffer = [0; 4096];
    let (length, _) = socket.recv_from(&mut buffer).ok()?;
    client::read_answer(&buffer[..length], &request, &running.secret).unwrap();
    Packet::parse(&buffer[..length]).unwrap().code()
}

fn binds(running: &Running) -> Vec<BindV1> {
    running.told(Lane::Accounting, |up| match up {
        Up::Bind(told) => Some(told),
        Up::Accounting(_)
        | Up::Login(_)
        | Up::CommandResult(_)
        | Up::Heartbeat(_)
        | Up::Redemption(_)
        | Up::Device(_)
        | Up::Router(_)
        | Up::Pools(_)
        | Up::Moving(_)
        | Up::LocalSecrets(_)
        | Up::Keepers(_)
        | Up::Lines(_)
        | Up::Unlock(_)
        | Up::BroughtUp(_)
        | Up::Logs(_)
        | Up::Configuration(_)
        | Up::Metrics(_)
        | Up::PackedMetrics(_) => None,
    })
}
