//! Calls to the outside: one HTTP client for all providers, one for addresses that tenants typed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::{Ipv4Net, Ipv6Net};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{ClientBuilder, Url};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use tokio::sync::Semaphore;

/// A client with our own root store, so that a box without one still works. Addresses in the server's own
/// configuration are used as written.
pub fn http_client() -> reqwest::Client {
    built(builder(roots()))
}

/// A client for other nodes of this cloud: it keeps no connection, which they close when it is idle, and does not wait
/// long for one that is dead.
pub fn node_client() -> reqwest::Client {
    let client = builder(roots()).pool_max_idle_per_host(0);
    built(client.connect_timeout(Duration::from_secs(2)))
}

/// How far addresses may lead that tenants typed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// To the public internet alone.
    Public,
    /// Anywhere: the server's own networks are its tenants' as well.
    Anywhere,
}

/// A client for [`typed`] addresses, which also trusts `authorities`. It asks for a name once, refuses it
/// whole where one of its addresses is out of reach, and connects to what was found and nothing else: a
/// name that leads elsewhere a moment later changes nothing. It follows no redirect and keeps no
/// connection.
pub fn typed_client(
    reach: Reach,
    authorities: &[CertificateDer<'static>],
) -> Result<reqwest::Client, rustls::Error> {
    let mut roots = roots();
    for authority in authorities {
        roots.add(authority.clone())?;
    }
    let client = builder(roots)
        .pool_max_idle_per_host(0)
        .dns_resolver(Arc::new(Within(reach)));
    Ok(built(client))
}

/// Reads an address that a tenant typed: https, without a user name, at port 443 or one from 1024 on (below
/// are other services, whose replies are no webhook's), and no address out of reach in any of the forms in
/// which one can be written. What a name leads to is seen when it is called.
pub fn typed(text: &str, reach: Reach) -> Result<Url, Unfit> {
    if text.len() > MOST_LETTERS {
        return Err(Unfit::Long);
    }
    let url = Url::parse(text.trim()).map_err(|_| Unfit::NoUrl)?;
    // Letters beyond ASCII are written with more than they were typed with.
    if url.as_str().len() > MOST_LETTERS {
        return Err(Unfit::Long);
    }
    if url.scheme() != "https" {
        return Err(Unfit::NotHttps);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Unfit::UserInfo);
    }
    if url.port().is_some_and(|port| port < 1024) {
        return Err(Unfit::Port); // 443 is the default and not there
    }
    // The parser has made dotted decimals of every other way to write an IPv4 address.
    let host = url.host_str().ok_or(Unfit::NoUrl)?;
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse();
    if let Ok(address) = literal {
        within(reach, address)?;
    }
    Ok(url)
}

/// Whether a typed address leads out of reach as far as can be known today. A name that leads nowhere yet is
/// no objection.
pub async fn leads_within(url: &Url, reach: Reach) -> Result<(), Unfit> {
    let host = url.host_str().unwrap_or_default();
    let asked = tokio::time::timeout(LOOK_UP, look_up(host.to_owned())).await;
    match asked {
        Ok(Ok(found)) => all_within(reach, found.into_iter()).map(drop),
        Ok(Err(_)) | Err(_) => Ok(()), // it is asked for again at every call
    }
}

/// Scheme, host and port of a typed address, for logs and the trail: what follows may hold a secret.
pub fn origin(text: &str) -> String {
    Url::parse(text).map_or_else(
        |_| "no address".to_owned(),
        |url| url.origin().ascii_serialization(),
    )
}

/// Why a call to a typed address failed that its address is to blame for.
pub fn unfit(error: &reqwest::Error) -> Option<Unfit> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(unfit) = error.downcast_ref::<Unfit>() {
            return Some(*unfit);
        }
        cause = error.source();
    }
    None
}

/// Why a typed address is not called. Each continues the sentence that a field's name begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unfit {
    /// Over 2048 letters.
    #[error("must have at most 2048 letters")]
    Long,
    /// No absolute URL with a host.
    #[error("must be an address such as https://example.com/hook")]
    NoUrl,
    /// Not encrypted.
    #[error("must begin with https://")]
    NotHttps,
    /// A name and password in it.
    #[error("must not hold a user name or password")]
    UserInfo,
    /// A port of another service.
    #[error("must have the port 443 or one from 1024 on")]
    Port,
    /// Out of reach.
    #[error("must lead to a public address, not into a private network")]
    NotPublic,
    /// The name is unknown.
    #[error("must have a name that leads somewhere")]
    Nowhere,
}

/// The resolver of [`typed_client`].
struct Within(Reach);

impl Resolve for Within {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found = look_up(name.as_str().to_owned()).await?;
            let addresses: Addrs = Box::new(all_within(reach, found.into_iter())?.into_iter());
            Ok(addresses)
        })
    }
}

/// Asks what a name leads to. A question that nobody waits for any more holds its place until it is
/// answered: threads that wait for a silent name server are needed for other work.
async fn look_up(host: String) -> std::io::Result<Vec<SocketAddr>> {
    let place = LOOK_UPS.acquire().await.map_err(std::io::Error::other)?;
    let asked = tokio::spawn(async move {
        let found = tokio::net::lookup_host((host.as_str(), 0)).await;
        drop(place);
        found.map(Iterator::collect)
    });
    asked.await.map_err(std::io::Error::other)?
}

/// Names that are asked for at once.
static LOOK_UPS: Semaphore = Semaphore::const_new(16);

/// What a name was found to lead to, unless one of it is out of reach: an honest name has no such address.
fn all_within(
    reach: Reach,
    found: impl Iterator<Item = SocketAddr>,
) -> Result<Vec<SocketAddr>, Unfit> {
    let found: Vec<SocketAddr> = found.collect();
    for address in &found {
        within(reach, address.ip())?;
    }
    if found.is_empty() {
        return Err(Unfit::Nowhere);
    }
    Ok(found)
}

fn within(reach: Reach, address: IpAddr) -> Result<(), Unfit> {
    match reach {
        Reach::Public if !is_public(address) => Err(Unfit::NotPublic),
        Reach::Public | Reach::Anywhere => Ok(()),
    }
}

/// Whether an address belongs to the public internet (the registries of RFC 6890).
///
/// Of IPv6 only 2000::/3 is given out at all, which leaves out loopback, link-local, unique local, multicast
/// and the addresses that embed an IPv4 address for a translator (mapped, NAT64).
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !SPECIAL_V4.iter().any(|net| net.contains(&address)),
        IpAddr::V6(address) => {
            GLOBAL_V6.contains(&address) && !SPECIAL_V6.iter().any(|net| net.contains(&address))
        }
    }
}

const SPECIAL_V4: [Ipv4Net; 15] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10), // behind a carrier's NAT
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16), // link-local, and the clouds' metadata
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),   // documentation
    v4([192, 88, 99, 0], 24), // 6to4 relays
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),   // benchmarks
    v4([198, 51, 100, 0], 24), // documentation
    v4([203, 0, 113, 0], 24),  // documentation
    v4([224, 0, 0, 0], 4),     // multicast
    v4([240, 0, 0, 0], 4),     // reserved, and broadcast
];
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0], 3);
const SPECIAL_V6: [Ipv6Net; 4] = [
    v6([0x2001, 0], 23),     // protocols' own, Teredo among them
    v6([0x2001, 0xdb8], 32), // documentation
    v6([0x2002, 0], 16),     // 6to4 embeds an IPv4 address
    v6([0x3fff, 0], 20),     // documentation
];

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6([a, b]: [u16; 2], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

const MOST_LETTERS: usize = 2048;
/// How long somebody waits who types a name.
const LOOK_UP: Duration = Duration::from_secs(3);

/// Why a body was not read to its end; read after whose it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Cut {
    /// There is more than was to be read.
    #[error("is too long")]
    TooLong,
    /// The connection ended.
    #[error("was cut")]
    Broken,
}

/// The body of an answer, of at most so many bytes.
pub async fn body_of(mut answer: reqwest::Response, most: usize) -> Result<Vec<u8>, Cut> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|_| Cut::Broken)? {
        if bytes.len() + chunk.len() > most {
            return Err(Cut::TooLong);
        }
        bytes.extend(chunk);
    }
    Ok(bytes)
}

fn roots() -> RootCertStore {
    RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    }
}

fn builder(roots: RootCertStore) -> ClientBuilder {
    // Whoever came first has installed the same provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let tls = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10))
        .no_proxy()
}

fn built(client: ClientBuilder) -> reqwest::Client {
    client
        .build()
        .expect("a client with these settings can always be built")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// H5: every way to write an address inside, and names that lead to one, whole or in part.
    #[test]
    fn what_a_tenant_types_leads_to_the_public_internet_alone() {
        for inside in [
            "127.0.0.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "127.1",
            "0",
            "10.1.2.3",
            "100.64.0.1",
            "169.254.169.254",
            "172.31.255.255",
            "192.168.1.1",
            "192.0.2.7",
            "198.19.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "[::]",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:8.8.8.8]",
            "[::7f00:1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b:1::a00:1]",
            "[2002:7f00:1::]",
            "[2001:0:7f00:1::]",
            "[2001:db8::1]",
            "[3fff::1]",
            "[fc00::1]",
            "[fd12:3456::1]",
            "[fe80::1]",
            "[fec0::1]",
            "[ff02::1]",
        ] {
            let text = format!("https://{inside}/hook");
            assert_eq!(typed(&text, Reach::Public), Err(Unfit::NotPublic), "{text}");
            assert!(typed(&text, Reach::Anywhere).is_ok(), "{text}");
        }
        let leads_to = |addresses: &[&str]| {
            let found = addresses.iter().map(|text| text.parse().unwrap());
            all_within(Reach::Public, found)
        };
        assert!(leads_to(&["8.8.8.8:443", "[2606:4700::1]:443"]).is_ok());
        let mixed = leads_to(&["8.8.8.8:443", "10.0.0.1:443"]);
        assert_eq!(mixed, Err(Unfit::NotPublic), "one is enough");
        assert_eq!(leads_to(&[]), Err(Unfit::Nowhere));
    }

    #[test]
    fn an_address_is_https_without_a_user_at_a_port_of_the_web() {
        for (text, why) in [
            ("http://example.com/", Unfit::NotHttps),
            ("ftp://example.com/", Unfit::NotHttps),
            ("example.com/hook", Unfit::NoUrl),
            ("https://", Unfit::NoUrl),
            ("https://who@example.com/", Unfit::UserInfo),
            ("https://who:what@example.com/", Unfit::UserInfo),
            ("https://example.com:25/", Unfit::Port),
            ("https://example.com:0/", Unfit::Port),
            ("https://example.com:80/", Unfit::Port),
        ] {
            assert_eq!(typed(text, Reach::Public), Err(why), "{text}");
        }
        for text in [
            "https://example.com",
            "https://example.com:443/hook?key=1",
            "https://example.com:8443/",
            "https://8.8.8.8/hook",
            "https://[2606:4700::1111]/",
        ] {
            assert!(typed(text, Reach::Public).is_ok(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_name_is_judged_by_what_it_leads_to() {
        let url = typed("https://localhost/hook", Reach::Public).unwrap();
        assert_eq!(
            leads_within(&url, Reach::Public).await,
            Err(Unfit::NotPublic)
        );
        let client = typed_client(Reach::Public, &[]).unwrap();
        let failed = client.post(url).send().await.unwrap_err();
        assert_eq!(unfit(&failed), Some(Unfit::NotPublic));
    }
}
