//! One file of bytes per message and per body in `tests/vectors/wire`: what a released build sent.
//!
//! They freeze at the first tag. Until then a change of shape rewrites them in its own commit:
//! `EASYISP_GOLDEN=write cargo test -p easyisp-shared golden`.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use uuid::Uuid;

use super::access::*;
use super::brought::*;
use super::condition::*;
use super::configuration::*;
use super::diagnosis::*;
use super::down::*;
use super::drift::*;
use super::enroll::*;
use super::firmware::*;
use super::hello::*;
use super::line::*;
use super::logs::*;
use super::monitor::*;
use super::peer::*;
use super::question::*;
use super::record::*;
use super::router::*;
use super::setup::*;
use super::up::*;
use super::*;
use crate::entitlement::{
    DataCounts, Days, RateOverride, Reason, Reasons, Refusal, Standing, Tier, Window,
};
use crate::ipv6::Prefixes;
use crate::net::{Burst, Mac, RateLimit};
use crate::time::Timestamp;

/// The same for what agents of one site say to each other.
#[test]
fn golden_sentences_between_agents_are_read_and_written_octet_for_octet() {
    let used = FirstUseV1 {
        voucher: Uuid::from_u128(8).into(),
        digest: [9; 32],
        package: Uuid::from_u128(3).into(),
        bytes: Some(1 << 30),
        from: at(0),
        until: at(3600),
        mac: Some(MAC),
        router: Uuid::from_u128(6).into(),
    };
    let name = SessionNameV1 {
        router: Uuid::from_u128(6).into(),
        session: b"81000001".to_vec(),
        class: vec![5; 16],
    };
    let open = PlaceV1 {
        name: name.clone(),
        username: b"jane".to_vec(),
        mac: Some(MAC),
        silent_secs: 300,
    };
    let counted = CountedV1 {
        customer: Uuid::from_u128(2).into(),
        queue: Some(LineQueueV1 {
            router: Uuid::from_u128(6).into(),
            queue: "*1A".to_owned(),
            bytes_up: 1 << 33,
            bytes_down: 7,
            at: at(300),
        }),
        session: Some(LineSessionV1 {
            name: SessionNameV1 {
                session: b"line-000000000002-0".to_vec(),
                class: Vec::new(),
                ..name.clone()
            },
            username: b"school".to_vec(),
            mac: Some(MAC),
            framed_ip: Some([10, 20, 0, 9].into()),
            seen: at(300),
            session_secs: 300,
            bytes_up: 1 << 32,
            bytes_down: 5,
            over: Some(4),
        }),
    };
    let knows = KnowsV1 {
        all: true,
        version: 1 << 33,
    };
    let questions = [
        ("peer_open", PeerQuestion::Open(vec![open])),
        ("peer_ping", PeerQuestion::Ping),
        ("peer_vote", PeerQuestion::Vote(used.clone())),
        ("peer_share", PeerQuestion::Share),
        ("peer_withdraw", PeerQuestion::Withdraw(used.clone())),
        ("peer_happened", PeerQuestion::Happened(used.clone())),
        ("peer_ended", PeerQuestion::Ended(vec![name])),
        ("peer_counted", PeerQuestion::Counted(vec![counted.clone()])),
        ("peer_how_far", PeerQuestion::HowFar(Some(counted.customer))),
        ("peer_knows", PeerQuestion::Knows),
    ];
    for (name, question) in questions {
        let golden = golden(name, &question.encode());
        assert_eq!(question.encode(), golden, "{name}");
        assert_eq!(PeerQuestion::decode(&golden), Ok(question), "{name}");
    }
    let answers = [
        ("peer_here", PeerAnswer::Here),
        ("peer_yes", PeerAnswer::Yes { from: at(0) }),
        ("peer_used", PeerAnswer::Used(used)),
        ("peer_taken", PeerAnswer::Taken),
        ("peer_busy", PeerAnswer::Busy),
        ("peer_so_far", PeerAnswer::Counted(vec![counted])),
        ("peer_known", PeerAnswer::Knows(knows)),
    ];
    for (name, answer) in answers {
        let golden = golden(name, &answer.encode());
        assert_eq!(answer.encode(), golden, "{name}");
        assert_eq!(PeerAnswer::decode(&golden), Ok(answer), "{name}");
    }
}

/// What is deflated on the way.
fn log_lines() -> Vec<WrittenV1> {
    let router = Uuid::from_u128(6).into();
    vec![
        WrittenV1::Said {
            router,
            at: at(0),
            severity: 3,
            topics: "pppoe,ppp,error".to_owned(),
            message: "<pppoe-jane>: authentication failed".to_owned(),
        },
        WrittenV1::Missing {
            router,
            at: at(5),
            why: MissingWhy::TooMany,
            lines: 70_000,
        },
    ]
}

#[test]
fn readings_are_read_as_they_were_written() {
    let told = MetricsV1 {
        router: Uuid::from_u128(6).into(),
        at: at(0),
        problem: None,
        facts: Some(Box::new(device())),
        samples: vec![sample()],
    };
    let readings = ReadingsV1::V1 {
        told,
        ports_left_out: 7,
    };
    assert_eq!(ReadingsV1::decode(&readings.encode()), Ok(readings));
    assert_eq!(ReadingsV1::decode(&[200]), Err(WireError::Broken));
}

#[test]
fn lines_of_a_log_are_read_as_they_were_written() {
    let lines = log_lines();
    assert_eq!(decode_lines(&encode_lines(&lines)), Ok(lines));
    assert_eq!(decode_lines(&[200]), Err(WireError::Broken));
}

/// D10: what any released build sent is still read, and means what it meant.
#[test]
fn golden_messages_are_read_and_written_octet_for_octet() {
    for (name, message) in messages() {
        let frame = message.frame().unwrap();
        let golden = golden(name, &frame);
        assert_eq!(hex::encode(&frame), hex::encode(&golden), "{name} written");
        assert_eq!(
            Message::read(&golden[FRAME_HEADER..]),
            Ok(message),
            "{name}"
        );
    }
}

/// The same for what lies in feeds, caches and outboxes.
#[test]
fn golden_bodies_are_read_and_written_octet_for_octet() {
    for (name, body) in downs() {
        let golden = golden(name, &body.encode());
        assert_eq!(hex::encode(body.encode()), hex::encode(&golden), "{name}");
        assert_eq!(
            Down::decode(body.kind().code(), &golden),
            Ok(body),
            "{name}"
        );
    }
    for (name, body) in ups() {
        let golden = golden(name, &body.encode());
        assert_eq!(hex::encode(body.encode()), hex::encode(&golden), "{name}");
        assert_eq!(Up::decode(body.kind().code(), &golden), Ok(body), "{name}");
    }
}

#[test]
fn golden_questions_and_answers_are_read_and_written_octet_for_octet() {
    for (name, question) in questions() {
        let golden = golden(name, &question.encode());
        assert_eq!(
            hex::encode(question.encode()),
            hex::encode(&golden),
            "{name}"
        );
        assert_eq!(Question::decode(&golden), Ok(question), "{name}");
    }
    for (name, reply) in replies() {
        let golden = golden(name, &reply.encode());
        assert_eq!(hex::encode(reply.encode()), hex::encode(&golden), "{name}");
        assert_eq!(Reply::decode(&golden), Ok(reply), "{name}");
    }
    let renew = AgentQuestion::Renew { csr: vec![0x30, 0] };
    let bytes = golden("agent_question_renew", &renew.encode());
    assert_eq!(renew.encode(), bytes);
    assert_eq!(AgentQuestion::decode(&bytes), Ok(renew));
    let shown = AgentQuestion::Voucher {
        digest: [9; 32],
        mac: Some(MAC),
        voted: Some(at(0)),
    };
    let bytes = golden("agent_question_voucher", &shown.encode());
    assert_eq!(shown.encode(), bytes);
    assert_eq!(AgentQuestion::decode(&bytes), Ok(shown));
    let let_in = CloudReply::Voucher(voucher());
    let bytes = golden("cloud_reply_voucher", &let_in.encode());
    assert_eq!(let_in.encode(), bytes);
    assert_eq!(CloudReply::decode(&bytes), Ok(let_in));
    let condition = AgentQuestion::Condition(ConditionV1 {
        at: at(60),
        hosted: true,
        disk_used_percent: Some(91),
        disk_since: Some(at(1)),
        moved_aside: vec!["outbox.db.damaged-1".into()],
        started: at(0),
        clock_untrusted_since: Some(at(2)),
        refusing_since: Some(at(3)),
        routers: vec![RouterConditionV1 {
            router: Uuid::from_u128(6).into(),
            mismatched_since: Some(at(4)),
            unsigned_since: Some(at(5)),
            refused_since: Some(at(6)),
            full_since: Some(at(9)),
            moved: Some((IpAddr::V4(Ipv4Addr::LOCALHOST), at(7))),
            certificate: Some(certificate()),
        }],
        upstream: Some(UpstreamV1 {
            reached: false,
            since: at(8),
        }),
    });
    let bytes = golden("agent_question_condition", &condition.encode());
    assert_eq!(condition.encode(), bytes);
    assert_eq!(AgentQuestion::decode(&bytes), Ok(condition));
    let authority = SiteAuthorityV1 {
        certificate: vec![0x30, 0],
        key: vec![1, 2, 3],
    };
    let told = AgentQuestion::Authority(authority.clone());
    let bytes = golden("agent_question_authority", &told.encode());
    assert_eq!(told.encode(), bytes);
    assert_eq!(AgentQuestion::decode(&bytes), Ok(told));
    let another = CloudReply::Authority(authority);
    let bytes = golden("cloud_reply_authority", &another.encode());
    assert_eq!(another.encode(), bytes);
    assert_eq!(CloudReply::decode(&bytes), Ok(another));
    let noted = golden("cloud_reply_noted", &CloudReply::Noted.encode());
    assert_eq!(CloudReply::decode(&noted), Ok(CloudReply::Noted));
    let certificate = CloudReply::Certificate {
        chain: vec![vec![0x30, 0], vec![0x30, 1, 0]],
        authorities: vec![vec![0x30, 1, 0], vec![0x30, 1, 1]],
    };
    let bytes = golden("cloud_reply_certificate", &certificate.encode());
    assert_eq!(certificate.encode(), bytes);
    assert_eq!(CloudReply::decode(&bytes), Ok(certificate));
}

/// The size that the link's budget is made of (2 kB an hour at 12 interims).
#[test]
fn an_interim_update_is_small() {
    let (_, interim) = ups().swap_remove(0);
    assert!(interim.encode().len() <= 120, "{}", interim.encode().len());
}

fn messages() -> Vec<(&'static str, Message)> {
    let record = |id: u128, body| DownRecord {
        kind: 1,
        id: Uuid::from_u128(id),
        version: 300,
        body,
    };
    vec![
        (
            "hello",
            Message::Hello(Hello::V1(HelloV1 {
                protocol_oldest: 1,
                protocol: 1,
                capabilities: vec!["zstd".into()],
                version: "0.1.0".into(),
                outbox: Uuid::from_u128(1),
                generation: 3,
                epoch: Uuid::from_u128(2),
                cursor: 299,
                addresses: vec!["10.0.0.2:1814".parse().unwrap()],
            })),
        ),
        (
            "welcome",
            Message::Welcome(Welcome::V1(WelcomeV1 {
                protocol: 1,
                capabilities: Vec::new(),
                epoch: Uuid::from_u128(2),
                now: at(0),
                generation: 4,
                marks: vec![(1, 70_000), (2, 5), (3, 0)],
                head: 301,
            })),
        ),
        (
            "refused",
            Message::Refused(Refused::V1(RefusedV1 {
                reason: RefusalReason::Busy,
                retry_after_secs: 30,
            })),
        ),
        (
            "feed",
            Message::Feed(FeedBatch {
                from: 299,
                to: 300,
                mode: FeedMode::Changes,
                last: true,
                digests: vec![(1, 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10)],
                records: vec![record(1, Some(vec![0, 1, 2])), record(2, None)],
            }),
        ),
        ("feed_ack", Message::FeedAck(FeedAck::V1 { cursor: 300 })),
        (
            "feed_need_snapshot",
            Message::FeedAck(FeedAck::NeedSnapshot),
        ),
        (
            "feed_holds",
            Message::FeedAck(FeedAck::Holds { generation: 4 }),
        ),
        (
            "up",
            Message::Up(UpBatch {
                outbox: Uuid::from_u128(1),
                lane: Lane::Accounting,
                after: 70_000,
                records: vec![UpRecord {
                    kind: 1,
                    sequence: 70_001,
                    body: vec![9, 8, 7],
                }],
            }),
        ),
        (
            "up_ack",
            Message::UpAck(UpAck::V1 {
                lane: 1,
                mark: 70_001,
            }),
        ),
        (
            "up_later",
            Message::UpAck(UpAck::Later {
                lane: 1,
                retry_after_millis: 1500,
            }),
        ),
        (
            "ask",
            Message::Ask(Ask {
                deadline_millis: 5000,
                body: Question::Ping.encode(),
            }),
        ),
        (
            "answer",
            Message::Answer(Answer::Body(Reply::Pong { now: at(1) }.encode())),
        ),
        (
            "through_v1",
            Message::Through(ThroughV1::V1 {
                grant: Uuid::from_u128(12).into(),
            }),
        ),
        ("octets", Message::Octets(vec![0, 1, 255])),
        ("taken", Message::Taken(70_000)),
        (
            "answer_failed",
            Message::Answer(Answer::Failed(AskFailure::Unreachable("no route".into()))),
        ),
        (
            "enroll_request",
            Message::EnrollRequest(EnrollRequest::V1(EnrollRequestV1 {
                token: [7; 32],
                csr: vec![0x30, 0],
                version: "0.1.0".into(),
                host: "pi".into(),
            })),
        ),
        (
            "enrolled",
            Message::EnrollAnswer(EnrollAnswer::V1(EnrolledV1 {
                agent: Uuid::from_u128(1).into(),
                site: Uuid::from_u128(2).into(),
                tenant: Uuid::from_u128(3).into(),
                chain: vec![vec![0x30, 0]],
                authorities: vec![vec![0x30, 1, 0]],
                site_key: [8; 32],
                site_name: "Main site".into(),
                cloud_name: "EasyISP".into(),
                now: at(0),
                replaced: None,
            })),
        ),
        (
            "site_authority",
            Message::SiteAuthority(SiteAuthorityV1 {
                certificate: vec![0x30, 0],
                key: vec![1, 2, 3],
            }),
        ),
        (
            "enroll_refused",
            Message::EnrollAnswer(EnrollAnswer::Refused(EnrollRefusal::Token)),
        ),
    ]
}

fn downs() -> Vec<(&'static str, Down)> {
    vec![
        (
            "subscriber_v1",
            Down::Subscriber(SubscriberV1 {
                customer: Uuid::from_u128(4).into(),
                username: b"demo001".to_vec(),
                password: vec![1, 2, 3],
                connection: Connection::Pppoe,
                standing: Standing::Active,
                period_start: at(0),
                paid_until: at(86_400),
                funded_until: at(0),
                package: Some(Uuid::from_u128(5).into()),
                static_ip: Some(Ipv4Addr::new(10, 0, 0, 9)),
                macs: vec![MAC],
                devices: Some(5),
                router: None,
                rate_override: Some(RateOverride {
                    rate: RateLimit::mbps(20, 20),
                    until: Some(at(60)),
                }),
                account: 123_455,
                remembered_macs: Vec::new(),
                used: UsedV1 {
                    bytes: 1 << 30,
                    secs: 600,
                },
                routes: vec![network("10.9.0.0/24")],
                ipv6_prefix: Some(network("2001:db8:0:9::/64")),
                delegated_prefix: Some(network("2001:db8:900::/56")),
                bound_macs: vec![MAC],
                unbound_at: Some(at(30)),
            }),
        ),
        (
            "package_v1",
            Down::Package(PackageV1 {
                package: Uuid::from_u128(5).into(),
                name: "Home 10".into(),
                rate: RateLimit {
                    up_kbps: 10_000,
                    down_kbps: 10_000,
                    burst: Some(Burst {
                        up_kbps: 15_000,
                        down_kbps: 15_000,
                        threshold_up_kbps: 7_500,
                        threshold_down_kbps: 7_500,
                        secs: 16,
                    }),
                },
                session_secs: Some(3600),
                data_limit: Some(5 << 30),
                time_limit_secs: Some(36_000),
                fair_use: vec![Tier {
                    from_bytes: 4 << 30,
                    rate: RateLimit::mbps(2, 2),
                }],
                schedule: vec![Window {
                    days: Days::ALL,
                    from_minute: 22 * 60,
                    until_minute: 6 * 60,
                    rate: Some(RateLimit::mbps(20, 20)),
                    data: DataCounts::No,
                }],
                devices: 2,
                idle_secs: Some(900),
                interim_secs: 300,
                pool: Some("pool-pppoe".into()),
                profile: Some("homes".into()),
                ipv6_pool: Some("v6".into()),
                delegated_pool: Some("pd".into()),
                grace_secs: Some(172_800),
                bind_macs: Some(1),
                anti_sharing: true,
            }),
        ),
        ("router_v1", Down::Router(router())),
        (
            "policy_v1",
            Down::Policy(PolicyV1 {
                grace_secs: 3600,
                refusal: Refusal::WalledGarden,
                garden_for: Reasons::MONEY,
                garden_list: "easyisp-expired".into(),
                garden_pool: Some("expired".into()),
                garden_profile: None,
                garden_rate: RateLimit::mbps(1, 1),
                portal_url: None,
                lease_until: Some(at(1)),
                zone: "Africa/Nairobi".into(),
                provider_name: "Demo ISP".into(),
                voucher_key: vec![1, 6],
                keepers: KeepersV1 {
                    term: 3,
                    agents: vec![Uuid::from_u128(10).into(), Uuid::from_u128(11).into()],
                },
                mac_login: true,
                remembered_macs: 2,
                agents: vec![SiteAgentV1 {
                    agent: Uuid::from_u128(10).into(),
                    key: [7; 32],
                    addresses: vec!["10.0.0.2:1814".parse().unwrap()],
                }],
                bind_macs: 2,
                bind_oldest_out: true,
            }),
        ),
        (
            "command_v1",
            Down::Command(CommandV1 {
                command: Uuid::from_u128(7).into(),
                order: Order::Disconnect(Whom::Session {
                    router: Uuid::from_u128(6).into(),
                    session: b"81000001".to_vec(),
                }),
                issued: at(0),
                expires: at(600),
            }),
        ),
        ("voucher_v1", Down::Voucher(voucher())),
        (
            "moving_v1",
            Down::Moving(MovingV1 {
                router: Uuid::from_u128(6).into(),
                mode: MovingMode::Forward,
                address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5)),
                auth_port: 1812,
                acct_port: 1813,
                secret: vec![4; 40],
                copy_accounting: true,
            }),
        ),
        (
            "router_login_v1",
            Down::RouterLogin(RouterLoginV1 {
                login: Uuid::from_u128(14).into(),
                username: b"noc".to_vec(),
                password: vec![5; 40],
                group: "full".to_owned(),
                router: Some(Uuid::from_u128(6).into()),
            }),
        ),
        (
            "monitored_v1",
            Down::Monitored(MonitoredV1 {
                router: Uuid::from_u128(6).into(),
                port: 161,
                interval_secs: 60,
                access: SnmpAccessV1::User {
                    name: "watcher".to_owned(),
                    auth: Some((SnmpAuth::Sha256, vec![6; 40])),
                    privacy: Some((SnmpPrivacy::Aes128, vec![7; 40])),
                },
            }),
        ),
    ]
}

fn device() -> DeviceFactsV1 {
    DeviceFactsV1 {
        description: "RouterOS RB5009".to_owned(),
        object: "1.3.6.1.4.1.14988.1".to_owned(),
        version: Some("7.18.2".to_owned()),
        cores: 4,
        memory_total: Some(1 << 30),
        sensors: vec![SensorFactV1 {
            name: "voltage".to_owned(),
            unit: SensorUnit::Volt,
        }],
        ports: vec![PortFactV1 {
            index: 1,
            name: "ether1".to_owned(),
            alias: "uplink".to_owned(),
            kind: 6,
            enabled: Some(true),
            speed_bps: Some(1_000_000_000),
        }],
        ..DeviceFactsV1::default()
    }
}

fn sample() -> SampleV1 {
    SampleV1 {
        at: at(0),
        millis: 3,
        uptime_secs: Some(86_400),
        cpu: Some(7),
        memory_used: Some(200 << 20),
        disk_used: None,
        ppp: Some(412),
        hotspot: Some(0),
        leases: None,
        sensors: vec![Some(23_900)],
        ports: vec![PortSampleV1 {
            status: Some(1),
            in_bps: Some(1000),
            out_bps: None,
            errors: 1,
            drops: 2,
        }],
    }
}

fn voucher() -> VoucherV1 {
    VoucherV1 {
        voucher: Uuid::from_u128(8).into(),
        digest: [9; 32],
        package: Uuid::from_u128(5).into(),
        secs: 3600,
        bytes: Some(1 << 30),
        expires: Some(at(900)),
        used: Some(VoucherUseV1 {
            from: at(0),
            until: at(3600),
        }),
    }
}

fn network(text: &str) -> Network {
    text.parse::<ipnet::IpNet>().unwrap().into()
}

fn ups() -> Vec<(&'static str, Up)> {
    vec![
        (
            "accounting_v1",
            Up::Accounting(AccountingV1 {
                router: Uuid::from_u128(6).into(),
                session: b"81000001".to_vec(),
                class: vec![5; 16],
                status: AccountingStatus::Interim,
                username: b"demo001".to_vec(),
                customer: Some(Uuid::from_u128(4).into()),
                framed_ip: Some(Ipv4Addr::new(10, 0, 0, 9)),
                mac: Some(MAC),
                at: at(300),
                started: at(0),
                session_secs: 300,
                bytes_up: 1 << 33,
                bytes_down: u64::MAX,
                bytes_free: 0,
                cause: None,
                prefixes: Prefixes::default(),
            }),
        ),
        (
            "accounting_v2",
            Up::Accounting(AccountingV1 {
                router: Uuid::from_u128(6).into(),
                session: b"81000001".to_vec(),
                class: vec![5; 16],
                status: AccountingStatus::Stop,
                username: b"demo001".to_vec(),
                customer: Some(Uuid::from_u128(4).into()),
                framed_ip: Some(Ipv4Addr::new(10, 0, 0, 9)),
                mac: Some(MAC),
                at: at(300),
                started: at(0),
                session_secs: 300,
                bytes_up: 1 << 33,
                bytes_down: u64::MAX,
                bytes_free: 0,
                cause: Some(1),
                prefixes: ["2001:db8:1::/64", "2001:db8:900::/56"]
                    .map(|net| net.parse().unwrap())
                    .into_iter()
                    .collect(),
            }),
        ),
        (
            "login_v1",
            Up::Login(LoginV1 {
                at: at(0),
                router: Uuid::from_u128(6).into(),
                username: vec![0xff, 0x00],
                customer: None,
                mac: None,
                outcome: LoginOutcome::Refused(Reason::Expired),
            }),
        ),
        (
            "login_v1_router",
            Up::Login(LoginV1 {
                at: at(1),
                router: Uuid::from_u128(6).into(),
                username: b"noc".to_vec(),
                customer: None,
                mac: None,
                outcome: LoginOutcome::TooManyRouterTries,
            }),
        ),
        (
            "command_result_v1",
            Up::CommandResult(CommandResultV1 {
                command: Uuid::from_u128(7).into(),
                version: 300,
                at: at(2),
                outcome: CommandOutcome::Failed("the router did not answer".into()),
            }),
        ),
        (
            "heartbeat_v1",
            Up::Heartbeat(HeartbeatV1 {
                at: at(0),
                version: "0.1.0".into(),
                queue: 12,
                sessions: 10,
                clock_offset_millis: Some(-25),
                unknown_sources: vec![(IpAddr::V4(Ipv4Addr::LOCALHOST), 3)],
                secret_mismatches: vec![(Uuid::from_u128(6).into(), 1)],
                unsigned_routers: vec![Uuid::from_u128(6).into()],
                counters: vec![("auth_accepted".into(), 7)],
            }),
        ),
        (
            "redemption_v1",
            Up::Redemption(RedemptionV1 {
                voucher: Uuid::from_u128(8).into(),
                at: at(0),
                router: Uuid::from_u128(6).into(),
                mac: Some(MAC),
            }),
        ),
        (
            "device_v1",
            Up::Device(DeviceV1 {
                customer: Uuid::from_u128(4).into(),
                mac: MAC,
                at: at(0),
            }),
        ),
        (
            "router_state_v1",
            Up::Router(RouterStateV1 {
                router: Uuid::from_u128(6).into(),
                at: at(0),
                problem: None,
                uptime_secs: 86_400,
                version: "7.18.2 (stable)".into(),
                board: "RB5009".into(),
                cpu_load: Some(7),
                free_memory: Some(768 << 20),
                total_memory: Some(1024 << 20),
                outside: vec![outside()],
                outside_count: 1,
            }),
        ),
        ("moving_report_v1", Up::Moving(moving_report())),
        ("local_secrets_v1", Up::LocalSecrets(local_secrets())),
        (
            "keep_with_v1",
            Up::Keepers(KeepWithV1 {
                term: 3,
                with: Some(Uuid::from_u128(11).into()),
                at: at(0),
            }),
        ),
        (
            "metrics_v1",
            Up::Metrics(Box::new(MetricsV1 {
                router: Uuid::from_u128(6).into(),
                at: at(0),
                problem: Some("it is silent".to_owned()),
                facts: Some(Box::new(device())),
                samples: vec![sample()],
            })),
        ),
        (
            "router_pools",
            Up::Pools(PoolsV1 {
                router: Uuid::from_u128(6).into(),
                at: at(0),
                pools: vec![PoolV1 {
                    name: "pppoe".to_owned(),
                    size: 253,
                    used: 250,
                }],
            }),
        ),
        (
            "metrics_v2",
            Up::PackedMetrics(PackedMetricsV1 {
                deflated: vec![3, 0],
            }),
        ),
        (
            "bind_v1",
            Up::Bind(BindV1 {
                customer: Uuid::from_u128(4).into(),
                mac: MAC,
                instead_of: Some(Mac::new([1; 6])),
                at: at(0),
            }),
        ),
        (
            "configuration_v1",
            Up::Configuration(Box::new(configuration())),
        ),
        ("brought_up_v1", Up::BroughtUp(Box::new(brought_up()))),
        (
            "brought_up_v2",
            Up::BroughtUp(Box::new(BroughtUpV1 {
                before: vec![vec![7; 3], vec![8; 3]],
                ..brought_up()
            })),
        ),
        (
            "unlock_v1",
            Up::Unlock(UnlockV1 {
                customer: Uuid::from_u128(4).into(),
                hour: 500_000,
                hours: 24,
                serial: 1,
                at: at(0),
                until: at(86_400),
            }),
        ),
        (
            "logs_v1",
            Up::Logs(LogsV1 {
                deflated: encode_lines(&log_lines()),
            }),
        ),
        (
            "lines_v1",
            Up::Lines(LinesV1 {
                router: Uuid::from_u128(6).into(),
                at: at(0),
                lines: vec![LineV1 {
                    customer: Uuid::from_u128(4).into(),
                    state: LineState::InForce,
                    why: String::new(),
                    shape: Some(LineShapeV1 {
                        address: Ipv4Addr::new(10, 0, 0, 9),
                        place: LinePlace::Garden,
                        rate: Some(RateLimit::mbps(1, 1)),
                    }),
                }],
            }),
        ),
    ]
}

fn moving_report() -> MovingReportV1 {
    MovingReportV1 {
        router: Uuid::from_u128(6).into(),
        at: at(60),
        counts: MovingCountsV1 {
            asked: 300,
            same: 299,
            other_answer: 1,
            other_rate: 2,
            other_address: 3,
            other_timeout: 4,
            not_compared: 5,
            forwarded: 6,
            accepted: 7,
            rejected: 8,
            silent: 9,
            accounted: 10,
            not_accounted: 11,
            shed: 12,
            ignored: 13,
        },
        differences: vec![MovingDifferenceV1 {
            username: b"demo001".to_vec(),
            kind: MovingDifference::Rate,
            ours: "10M/10M".into(),
            theirs: "5M/5M".into(),
            at: at(1),
        }],
        agreed: vec![b"demo002".to_vec()],
        strangers: vec![MovingStrangerV1 {
            username: b"old001".to_vec(),
            hotspot: false,
            mac: Some(MAC),
            rate: "5M/5M".into(),
            address: "10.9.0.7".into(),
            at: at(2),
        }],
        problem: None,
    }
}

fn questions() -> Vec<(&'static str, Question)> {
    let router = Uuid::from_u128(6).into();
    vec![
        ("question_ping", Question::Ping),
        (
            "question_live_sessions",
            Question::LiveSessions {
                router: Some(router),
            },
        ),
        (
            "question_disconnect",
            Question::Disconnect(Whom::Customer(Uuid::from_u128(4).into())),
        ),
        (
            "question_test_connection",
            Question::TestConnection { router },
        ),
        (
            "question_release_voucher",
            Question::ReleaseVoucher {
                voucher: Uuid::from_u128(8).into(),
            },
        ),
        (
            "question_sessions",
            Question::Sessions(Whom::Username(b"demo001".to_vec())),
        ),
        ("question_reconcile", Question::Reconcile { router: None }),
        (
            "question_traffic",
            Question::Traffic(Whom::Customer(Uuid::from_u128(4).into())),
        ),
        ("question_local_secrets", Question::LocalSecrets { router }),
        (
            "question_diagnose",
            Question::Diagnose {
                customer: Uuid::from_u128(4).into(),
                username: b"demo001".to_vec(),
            },
        ),
        (
            "question_router_queue",
            Question::Router {
                router,
                ask: RouterAsk::AddQueue(QueueWishV1 {
                    name: Some("office".to_owned()),
                    target: Some("10.0.0.9/32".to_owned()),
                    max_limit: Some((1_000_000, 2_000_000)),
                    ..QueueWishV1::default()
                }),
            },
        ),
        (
            "question_router_ping",
            Question::Router {
                router,
                ask: RouterAsk::Ping {
                    address: IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1)),
                    count: 4,
                },
            },
        ),
        (
            "question_router_setup",
            Question::Router {
                router,
                ask: RouterAsk::Setup(SetupAskV1::Apply(vec![pool()])),
            },
        ),
        (
            "question_router_restore",
            Question::Router {
                router,
                ask: RouterAsk::Setup(SetupAskV1::Restore(vec![stood()])),
            },
        ),
        (
            "question_router_guard",
            Question::Router {
                router,
                ask: RouterAsk::Setup(SetupAskV1::Guard(vec![stood()])),
            },
        ),
        (
            "question_router_call_off",
            Question::Router {
                router,
                ask: RouterAsk::Setup(SetupAskV1::CallOff(vec![pool()])),
            },
        ),
        (
            "question_router_address_plan",
            Question::Router {
                router,
                ask: RouterAsk::AddressPlan,
            },
        ),
        (
            "question_router_compare",
            Question::Router {
                router,
                ask: RouterAsk::Compare(vec![wanted()]),
            },
        ),
        (
            "question_router_repair",
            Question::Router {
                router,
                ask: RouterAsk::Repair(vec![wanted()]),
            },
        ),
        (
            "question_router_configuration",
            Question::Router {
                router,
                ask: RouterAsk::Configuration,
            },
        ),
        (
            "question_router_certificate",
            Question::Router {
                router,
                ask: RouterAsk::Certificate,
            },
        ),
        (
            "question_router_secret",
            Question::Router {
                router,
                ask: RouterAsk::Secret,
            },
        ),
        (
            "question_router_end_outside",
            Question::Router {
                router,
                ask: RouterAsk::EndOutside {
                    username: b"local01".to_vec(),
                },
            },
        ),
        (
            "question_router_pages",
            Question::Router {
                router,
                ask: RouterAsk::Pages(PagesV1 {
                    url: "https://isp.example.com/provision/hotspot/".to_owned(),
                    query: "tenantId=1".to_owned(),
                }),
            },
        ),
        ("question_around", Question::Around),
        (
            "question_router_firmware",
            Question::Router {
                router,
                ask: RouterAsk::Firmware(FirmwareAskV1::Check {
                    channel: Some("stable".to_owned()),
                }),
            },
        ),
        (
            "question_router_install",
            Question::Router {
                router,
                ask: RouterAsk::Firmware(FirmwareAskV1::Install { downgrade: true }),
            },
        ),
        (
            "question_access",
            Question::Access(AccessV1 {
                grant: Uuid::from_u128(12).into(),
                target: AccessTargetV1::Router(Uuid::from_u128(6).into()),
                port: 8291,
                until: at(900),
                force: false,
                who: "Jane <jane@isp.example>".to_owned(),
                why: "a new queue".to_owned(),
            }),
        ),
        (
            "question_access_over",
            Question::AccessOver {
                grant: Uuid::from_u128(12).into(),
            },
        ),
        (
            "question_online_page",
            Question::OnlinePage(OnlineAskV1 {
                router,
                hotspot: Some(true),
                after: Some(online_place()),
            }),
        ),
        (
            "question_router_rows",
            Question::Router {
                router,
                ask: RouterAsk::Rows {
                    of: RowsOf::Leases,
                    from: 1000,
                },
            },
        ),
        (
            "question_subscribers",
            Question::Subscribers(SubscribersAskV1 {
                router,
                from: Some(subscribers_place()),
            }),
        ),
    ]
}

fn pool() -> ItemV1 {
    ItemV1 {
        menu: "/ip pool".to_owned(),
        which: WhichV1::Own {
            key: "name".to_owned(),
            value: "easyisp-pppoe".to_owned(),
            first: false,
        },
        fields: vec![(
            "ranges".to_owned(),
            ValueV1::Text("10.10.10.2-10.10.10.254".to_owned()),
        )],
    }
}

fn stood() -> BeforeV1 {
    BeforeV1 {
        item: pool(),
        rows: vec![RowV1 {
            id: "*7".to_owned(),
            next: None,
            fields: vec![("ranges".to_owned(), b"10.9.0.2-10.9.0.9".to_vec())],
        }],
    }
}

fn wanted() -> WantedV1 {
    WantedV1 {
        menu: "/radius".to_owned(),
        which: RowOfV1::Own("comment".to_owned(), "easyisp:radius:1".to_owned()),
        fields: vec![("secret".to_owned(), WantedValueV1::Secret("s".to_owned()))],
    }
}

fn online_place() -> OnlinePlaceV1 {
    OnlinePlaceV1 {
        session: b"81000001".to_vec(),
        username: b"demo001".to_vec(),
        framed_ip: Some(Ipv4Addr::new(10, 0, 0, 9)),
        mac: Some(MAC),
    }
}

fn outside() -> OutsideV1 {
    OutsideV1 {
        router: Uuid::from_u128(6).into(),
        username: b"local".to_vec(),
        framed_ip: None,
        mac: Some(MAC),
        uptime_secs: 60,
        hotspot: false,
        why: OutsideWhy::Local,
    }
}

fn replies() -> Vec<(&'static str, Reply)> {
    vec![
        ("reply_pong", Reply::Pong { now: at(0) }),
        (
            "reply_online_page",
            Reply::OnlinePage(OnlinePageV1 {
                sessions: Vec::new(),
                next: Some(online_place()),
            }),
        ),
        (
            "reply_subscribers",
            Reply::Subscribers(SubscribersV1 {
                users: vec![RouterUserV1 {
                    hotspot: false,
                    says: vec![("name".to_owned(), b"demo001".to_vec())],
                }],
                next: Some(subscribers_place()),
            }),
        ),
        (
            "reply_router_rows",
            Reply::Router(RouterTold::Rows {
                told: Box::new(RouterTold::Leases(Vec::new())),
                all: 1200,
            }),
        ),
        (
            "reply_live_sessions",
            Reply::LiveSessions(vec![LiveSessionV1 {
                router: Uuid::from_u128(6).into(),
                session: b"81000001".to_vec(),
                username: b"demo001".to_vec(),
                customer: Some(Uuid::from_u128(4).into()),
                framed_ip: Some(Ipv4Addr::new(10, 0, 0, 9)),
                mac: Some(MAC),
                started: at(0),
                seen: at(300),
                bytes_up: 1,
                bytes_down: 2,
                hotspot: false,
            }]),
        ),
        (
            "reply_disconnected",
            Reply::Disconnected {
                ended: 1,
                unconfirmed: 0,
            },
        ),
        ("reply_voucher_released", Reply::VoucherReleased),
        ("reply_voucher_used", Reply::VoucherUsed { at: at(5) }),
        (
            "reply_connection",
            Reply::Connection(ConnectionV1 {
                radius_seen: Some(at(0)),
                coa: Some(true),
                api: None,
                millis: Some(3),
                detail: "answers".into(),
            }),
        ),
        (
            "reply_sessions",
            Reply::Sessions(SessionsV1 {
                sessions: Vec::new(),
                doubt: Some("the router is silent".into()),
            }),
        ),
        (
            "reply_reconciled",
            Reply::Reconciled(ReconciledV1 {
                asked: 1,
                closed: 2,
                opened: 3,
                outside: vec![outside()],
                problems: vec![(Uuid::from_u128(6).into(), "silent".into())],
            }),
        ),
        (
            "reply_traffic",
            Reply::Traffic(TrafficV1 {
                online: true,
                up_bps: 1,
                down_bps: 2,
            }),
        ),
        ("reply_local_secrets", Reply::LocalSecrets(local_secrets())),
        ("reply_diagnosis", Reply::Diagnosis(Box::new(diagnosis()))),
        (
            "reply_router_queues",
            Reply::Router(RouterTold::Queues(vec![QueueV1 {
                id: "*2".to_owned(),
                name: "office".to_owned(),
                max_limit: (1_000_000, 2_000_000),
                ..QueueV1::default()
            }])),
        ),
        (
            "reply_router_snmp",
            Reply::Router(RouterTold::Snmp(Box::new(SnmpReadingV1 {
                facts: device(),
                sample: sample(),
                octets: vec![(Some(1), None)],
                started: Some(at(0)),
            }))),
        ),
        (
            "reply_router_setup",
            Reply::Router(RouterTold::Setup(SetupToldV1::Found {
                before: vec![stood()],
                hotspot_allowed: Some(false),
            })),
        ),
        (
            "reply_router_guarded",
            Reply::Router(RouterTold::Setup(SetupToldV1::Guarded(Some(
                "not allowed by device-mode".to_owned(),
            )))),
        ),
        (
            "reply_router_applied",
            Reply::Router(RouterTold::Setup(SetupToldV1::Applied {
                done: 3,
                refused: Some("failure: already have".to_owned()),
            })),
        ),
        (
            "reply_router_address_plan",
            Reply::Router(RouterTold::AddressPlan(AddressPlanV1 {
                pools: vec![(
                    "homes".to_owned(),
                    Ipv4Addr::new(10, 0, 0, 2),
                    Ipv4Addr::new(10, 0, 0, 9),
                )],
                own: vec![network("10.0.0.0/24")],
            })),
        ),
        (
            "reply_router_firmware",
            Reply::Router(RouterTold::Firmware(Box::new(FirmwareV1 {
                installed: "7.18.2".to_owned(),
                latest: "7.19.1".to_owned(),
                channel: "stable".to_owned(),
                status: "New version is available".to_owned(),
                board: Some(("7.18.2".to_owned(), "7.19.1".to_owned())),
                uptime_secs: 86_400,
            }))),
        ),
        (
            "reply_router_drift",
            Reply::Router(RouterTold::Drift(Box::new(DriftV1 {
                fields: vec![DriftFieldV1 {
                    menu: "/ppp aaa".to_owned(),
                    row: String::new(),
                    field: "use-radius".to_owned(),
                    wanted: Some("yes".to_owned()),
                    found: Some("no".to_owned()),
                }],
                problems: vec![("/ip hotspot".to_owned(), "no such command".to_owned())],
                compared: 40,
            }))),
        ),
        (
            "reply_router_configuration",
            Reply::Router(RouterTold::Configuration(Box::new(configuration()))),
        ),
        (
            "reply_router_ended",
            Reply::Router(RouterTold::Ended { ended: 1 }),
        ),
        (
            "reply_router_pages",
            Reply::Router(RouterTold::Pages(Some("login.html: no answer".to_owned()))),
        ),
        (
            "reply_router_certificate",
            Reply::Router(RouterTold::Certificate(Box::new(IssuedV1 {
                named: certificate(),
                certificate: "certificate".to_owned(),
                key: "key".to_owned(),
                authority: "authority".to_owned(),
            }))),
        ),
        (
            "reply_access",
            Reply::Access {
                address: IpAddr::from([10, 9, 0, 1]),
            },
        ),
        ("reply_access_over", Reply::AccessOver),
        (
            "reply_around",
            Reply::Around(AroundV1 {
                neighbours: vec![AnnouncedV1 {
                    mac: MAC,
                    address: Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9))),
                    identity: "Tower 3".into(),
                    version: "7.15.3 (stable)".into(),
                    platform: "MikroTik".into(),
                    board: "RB760iGS".into(),
                    interface: "bridge/ether2".into(),
                    uptime_secs: Some(60),
                    silent_secs: 5,
                }],
                asking: vec![(IpAddr::V4(Ipv4Addr::LOCALHOST), 3)],
                deaf: None,
            }),
        ),
    ]
}

fn router() -> RouterV1 {
    RouterV1 {
        router: Uuid::from_u128(6).into(),
        name: "tower".into(),
        address: IpAddr::V4(Ipv4Addr::new(192, 168, 88, 1)),
        source: Network {
            address: IpAddr::V4(Ipv4Addr::new(192, 168, 88, 0)),
            prefix: 24,
        },
        secret: vec![1, 9],
        previous_secret: Some(vec![1, 8]),
        coa_port: 3799,
        message_authenticator: MessageAuthenticator::Learn,
        api: Some(RouterApiV1 {
            port: 8729,
            tls: true,
            user: "easyisp".into(),
            password: vec![1, 7],
        }),
        ended_certificates: vec![vec![0x40, 1]],
        certificates_since: Some(at(9)),
        leases: true,
    }
}

fn brought_up() -> BroughtUpV1 {
    BroughtUpV1 {
        at: at(0),
        router: router(),
        serial: Some("HEX0123".into()),
        version: "7.18.2 (stable)".into(),
        serves: ServesV1 {
            pppoe: Some(vec!["ether2".into()]),
            hotspot: None,
            bridges: vec!["bridge".into()],
            wan: "ether1".into(),
            agents: vec![Ipv4Addr::new(10, 9, 0, 2)],
            firewall: true,
        },
        before: Vec::new(),
    }
}

fn configuration() -> ConfigurationV1 {
    ConfigurationV1 {
        router: Uuid::from_u128(6).into(),
        at: at(0),
        why: ConfigurationWhy::Looked,
        digest: [7; 32],
        text: "/ip pool\nadd name=p ranges=10.0.0.2-10.0.0.9\n".to_owned(),
        left_out: 0,
    }
}

fn subscribers_place() -> SubscribersPlaceV1 {
    SubscribersPlaceV1 {
        hotspot: true,
        after: Some(0x1A),
    }
}

fn local_secrets() -> LocalSecretsV1 {
    LocalSecretsV1 {
        router: Uuid::from_u128(6).into(),
        at: at(0),
        listed: 7,
        hidden: vec![LocalSecretV1 {
            username: b"demo001".to_vec(),
            hotspot: false,
        }],
        hidden_count: 1,
    }
}

fn diagnosis() -> DiagnosisV1 {
    let router = Uuid::from_u128(6).into();
    DiagnosisV1 {
        known: true,
        bound: None,
        would: Some(WouldV1 {
            reason: Reason::Expired,
            garden: true,
        }),
        until: Some(at(0)),
        sessions: vec![OpenV1 {
            router,
            mac: None,
            started: at(0),
            seen: at(300),
            garden: false,
            outside: Some(OutsideWhy::Local),
        }],
        happened: vec![HappenedV1 {
            first: at(0),
            last: at(60),
            count: 7,
            router,
            mac: Some(MAC),
            what: HappeningV1::Login(LoginOutcome::WrongPassword),
        }],
        unproven: Some(UnprovenV1 {
            router,
            count: 3,
            last: at(61),
        }),
        strangers: vec![StrangerV1 {
            username: b"demo0001".to_vec(),
            router,
            mac: Some(MAC),
            count: 2,
            last: at(62),
        }],
        routers: vec![RouterFactV1 {
            router,
            name: "tower".into(),
            heard: Some(at(63)),
            mismatched: None,
            reach: ReachV1::Unclear,
            booted: Some(at(1)),
            hides: true,
        }],
    }
}

/// The stored bytes of `name`; written first where asked for.
fn certificate() -> CertificateV1 {
    CertificateV1 {
        serial: vec![0x40, 1],
        from: at(7),
        until: at(8),
    }
}

fn golden(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/vectors/wire")
        .join(format!("{name}.hex"));
    if std::env::var_os("EASYISP_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("{}\n", hex::encode(bytes))).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    hex::decode(text.trim()).unwrap()
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + secs)
}

const MAC: Mac = Mac::new([2, 0, 0, 0, 0, 1]);

/// A cloud of before counts what a session used, though it knows nothing of its prefixes.
#[test]
fn what_a_cloud_of_before_cannot_read_is_left_out_alone() {
    let mut tried = 0;
    for (name, up) in ups() {
        let (kind, whole) = (up.kind().code(), up.encode());
        let expected = match up {
            Up::Accounting(told) if !told.prefixes.is_empty() => {
                tried += 1;
                let prefixes = Prefixes::default();
                Some(Up::Accounting(AccountingV1 { prefixes, ..told }).encode())
            }
            _ => None,
        };
        assert_eq!(without_prefixes(kind, &whole), expected, "{name}");
    }
    assert_eq!(tried, 1);
    assert_eq!(without_prefixes(UpKind::Accounting.code(), &[9]), None);
}
