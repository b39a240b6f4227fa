//! What a router's attributes say is octets, whatever they are, as far as the cloud's database.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_agent::radius::builder::Signature;
use easyisp_agent::radius::client::{
    Login, Method, access_request, accounting_request, read_answer,
};
use easyisp_agent::radius::dictionary::attribute;
use easyisp_agent::radius::{Code, Secret};
use easyisp_shared::entropy::Entropy;
use easyisp_tests::world::{Provider, Site, World};

use crate::words::{DAY, full};

/// A10: any octets in every attribute that carries text end as octets in the sessions and the log of logins of
/// the cloud, escaped only where they are no text, and change nothing else: no customer, no audit row, nothing
/// set aside.
#[tokio::test(flavor = "multi_thread")]
async fn any_octets_in_any_attribute_reach_the_database_unharmed() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "hostile").await?;
    let site = Site::open(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    isp.add_subscriber("amina", "254712345690", until).await?;
    site.knows("amina", "at all", |_| true).await?;
    let tenant = isp.tenant().await?;
    let untouched = "select (select count(*) from customers where tenant_id = $1),
                            (select count(*) from audit where tenant_id = $1),
                            (select count(*) from quarantine where tenant_id = $1)";
    let count = async || {
        let mut tx = world.db().begin(tenant).await?;
        let counts: (i64, i64, i64) = sqlx::query_as(untouched)
            .bind(tenant)
            .fetch_one(&mut *tx)
            .await?;
        anyhow::Ok(counts)
    };
    let before = count().await?;

    let seed = rand::random();
    println!("seed {seed}");
    let hostile = hostile(&Entropy::seeded(seed), if full() { 500 } else { 60 });
    let router = Talk::to(&site)?;
    for octets in &hostile {
        router.report(b"amina", octets)?;
        router.log_in(octets)?;
    }
    site.reported().await?;

    let mut tx = world.db().begin(tenant).await?;
    let sessions: Vec<(String, String, Vec<u8>)> = sqlx::query_as(
        "select acct_session_id, username, cookie from sessions where tenant_id = $1",
    )
    .bind(tenant)
    .fetch_all(&mut *tx)
    .await?;
    let names: Vec<String> =
        sqlx::query_scalar("select distinct username from auth_log where tenant_id = $1")
            .bind(tenant)
            .fetch_all(&mut *tx)
            .await?;
    tx.rollback().await?;
    let said: BTreeSet<(String, String, Vec<u8>)> = hostile
        .iter()
        .map(|octets| (shown(octets), "amina".to_owned(), octets.clone()))
        .collect();
    assert_eq!(sessions.into_iter().collect::<BTreeSet<_>>(), said);
    let tried: BTreeSet<String> = hostile.iter().map(|octets| shown(octets)).collect();
    assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), tried);
    assert_eq!(count().await?, before);

    site.stop().await;
    world.stop().await
}

/// What people tried on others, and random octets of every length.
fn hostile(entropy: &Entropy, many: usize) -> Vec<Vec<u8>> {
    let known: [&[u8]; 9] = [
        b"'; drop table sessions; --",
        b"$(reboot) `reboot` ../../etc/passwd",
        b"%s%n\\x00\\",
        "\u{202e}\u{0}nul\u{feff}".as_bytes(),
        &[0xFF, 0xFE, 0x00, 0x80, 0xC3],
        &[0],
        &[b'%'; 253],
        b"{\"a\":1}\r\n\t\x1b[31m",
        "ж\u{1f}é".as_bytes(),
    ];
    let mut all: BTreeSet<Vec<u8>> = known.iter().map(|octets| octets.to_vec()).collect();
    while all.len() < many {
        let length = 1 + entropy.below(253) as usize;
        all.insert(entropy.bytes::<253>()[..length].to_vec());
    }
    all.into_iter().collect()
}

/// As the database has it: text as it is, what is none escaped.
fn shown(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) if !text.contains('\0') => text.to_owned(),
        Ok(_) | Err(_) => octets.escape_ascii().to_string(),
    }
}

/// The router's side, octet by octet.
struct Talk<'a> {
    site: &'a Site,
    socket: UdpSocket,
    secret: Secret,
}

impl Talk<'_> {
    fn to(site: &Site) -> Result<Talk<'_>> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Talk {
            site,
            socket,
            secret: Secret::new(site.secret().as_bytes()),
        })
    }

    /// A session begins of which everything is these octets but the name; the record is acknowledged.
    fn report(&self, name: &[u8], octets: &[u8]) -> Result<()> {
        let mut attributes: Vec<(u8, &[u8])> = vec![
            (attribute::ACCT_STATUS_TYPE, &[0, 0, 0, 1]),
            (attribute::USER_NAME, name),
            (attribute::ACCT_SESSION_ID, octets),
            (attribute::CLASS, octets),
        ];
        attributes.extend(TEXTS.map(|kind| (kind, octets)));
        attributes.extend(NETWORKS.map(|kind| (kind, octets)));
        let request = accounting_request(&attributes, octets[0], &self.secret)?;
        self.socket.send_to(&request, self.site.accounting())?;
        let mut answer = [0; 4096];
        let length = self.socket.recv(&mut answer)?;
        read_answer(&answer[..length], &request, &self.secret)?;
        Ok(())
    }

    /// Somebody of that name asks to be let in, and is not.
    fn log_in(&self, octets: &[u8]) -> Result<()> {
        let extra = TEXTS.map(|kind| (kind, octets));
        let login = Login {
            user_name: octets,
            method: Method::Pap { password: b"x" },
            extra: &extra,
            signature: Signature::MessageAuthenticator,
        };
        let authenticator = Entropy::system().bytes();
        let request = access_request(&login, octets[0], &authenticator, &self.secret)?;
        self.socket.send_to(&request, self.site.asked())?;
        let mut answer = [0; 4096];
        let length = self.socket.recv(&mut answer)?;
        let answer = read_answer(&answer[..length], &request, &self.secret);
        let answer = answer.context("the answer to this")?;
        assert_eq!(answer.code(), Some(Code::AccessReject));
        Ok(())
    }
}

/// Attributes that carry what a line has of IPv6.
const NETWORKS: [u8; 4] = [
    attribute::FRAMED_INTERFACE_ID,
    attribute::FRAMED_IPV6_PREFIX,
    attribute::DELEGATED_IPV6_PREFIX,
    attribute::FRAMED_IPV6_ADDRESS,
];

/// Attributes that carry text: where the subscriber is, how he is connected, what the router calls itself.
const TEXTS: [u8; 4] = [
    attribute::CALLING_STATION_ID,
    attribute::CALLED_STATION_ID,
    attribute::NAS_IDENTIFIER,
    attribute::NAS_PORT_ID,
];
