//! An agent of a site described by hand beside a pretend router: for what needs no cloud.

use anyhow::{Context, Result};
use easyisp_agent::config::Config;
use easyisp_agent::site::description::Description;
use easyisp_agent::{Agent, AgentOptions, Source};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::Clock;
use easyisp_tests::ports;
use easyisp_tests::router::api::Api;
use easyisp_tests::router::online::Online;
use easyisp_tests::router::subscriber::Method;
use easyisp_tests::router::{Router, Settings};
use easyisp_tests::world::START;
use serde_json::json;

use crate::words::HOUR;

/// An agent beside a router with its API, without a cloud.
pub struct Edge {
    pub agent: Agent,
    pub router: Router,
    pub clock: Clock,
    _folder: tempfile::TempDir,
}

impl Edge {
    /// Customers [`name`]d by number, each of whose password is his name.
    pub async fn open(subscribers: usize) -> Result<Edge> {
        Edge::open_with(subscribers, |settings| settings).await
    }

    /// The same beside a router with settings of its own.
    pub async fn open_with(
        subscribers: usize,
        change: impl FnOnce(Settings) -> Settings,
    ) -> Result<Edge> {
        let clock = Clock::test(START);
        let folder = tempfile::tempdir()?;
        let mut config = Config {
            data_dir: folder.path().to_owned(),
            ..Config::default()
        };
        config.radius.auth = ports::free_here()?;
        config.radius.acct = ports::free_here()?;
        config.status.listen = ports::free_here()?;
        config.site.ranges.push("127.0.0.0/8".parse()?);
        let settings = change(Settings {
            api: Some(Api::new("agent", "api-password")),
            ..Settings::new(
                "a-long-shared-secret",
                config.radius.auth,
                config.radius.acct,
            )
        });
        let router = Router::start_on(settings, clock.clone(), Entropy::system()).await?;
        let words = words(&router, subscribers)?;
        let key = SealKey::new([5; 32]);
        let options = AgentOptions {
            config,
            clock: clock.clone(),
            entropy: Entropy::system(),
            source: Source::Described {
                rows: words.rows(&key, &Entropy::seeded(1), 1),
                key,
            },
        };
        let agent = Agent::start(options).await?;
        Ok(Edge {
            agent,
            router,
            clock,
            _folder: folder,
        })
    }

    pub async fn dial(&self, number: usize) -> Online {
        let name = name(number);
        let subscriber = self.router.subscriber(&name, &name, Method::Pap);
        let online = subscriber.dial().await.online();
        online.started().await;
        online
    }

    pub fn router_id(&self) -> easyisp_shared::id::RouterId {
        easyisp_agent::site::description::router_id("tower")
    }

    pub async fn close(self) {
        self.agent.stop().await;
        self.router.stop().await;
    }
}

fn words(router: &Router, subscribers: usize) -> Result<Description> {
    let api = router.api().context("an API")?;
    let subscriber = |number| {
        json!({
            "username": name(number), "password": name(number), "package": "basic",
            "paid_until": START.plus(24 * HOUR),
        })
    };
    let words = json!({
        "packages": [{"name": "basic", "up_kbps": 10_000, "down_kbps": 10_000, "devices": 1}],
        "routers": [{
            "name": "tower", "address": api.ip(), "source": "127.0.0.0/8",
            "secret": "a-long-shared-secret",
            "coa_port": router.incoming().context("CoA")?.port(),
            "api": {"port": api.port(), "user": "agent", "password": "api-password"},
        }],
        "subscribers": (0..subscribers).map(subscriber).collect::<Vec<_>>(),
    });
    Ok(serde_json::from_value(words)?)
}

pub fn name(number: usize) -> String {
    format!("home{number:03}")
}
