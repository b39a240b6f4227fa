//! The router is the reason: down, restarted, with another secret, with users of its own, without accounting.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_shared::entropy::Entropy;
use easyisp_tests::router::api::Api;
use easyisp_tests::router::session::Service;
use easyisp_tests::router::subscriber::{Dial, Method};
use easyisp_tests::router::{Router, Settings};
use easyisp_tests::world::{eventually, soon};

use super::{Place, is_refused, later, says, shows};
use crate::words::MINUTE;

/// His router signs with a secret that nobody told us: nothing it asks is answered, and the request in his
/// name shows whose fault that is.
#[tokio::test(flavor = "multi_thread")]
async fn another_secret_at_the_router_is_named() -> Result<()> {
    let place = Place::open("secrets").await?;
    let abebe = place.customer("abebe").await?;
    let nadia = place.customer("nadia").await?;
    let online = place.site.dial("nadia").await.online();
    online.started().await;
    later(&place.world);
    let strange = Settings {
        incoming: None,
        ..Settings::new(
            "a-mistyped-secret",
            place.site.asked(),
            place.site.accounting(),
        )
    };
    let clock = place.world.clock.clone();
    let strange = Router::start_on(strange, clock, Entropy::system()).await?;
    let dial = strange
        .subscriber("abebe", "abebe", Method::MsChapV2)
        .dial()
        .await;
    ensure!(matches!(dial, Dial::NoAnswer), "{dial:?}");
    let found = place
        .finds(&abebe, "SECRET_MISMATCH", "Set the secret")
        .await?;
    ensure!(
        shows(&found, "A request in his name from Tower did not verify"),
        "{found}"
    );
    ensure!(says(&found["action"], "router Tower"), "{found}");
    place.finds(&nadia, "ONLINE", "").await?;

    // The secret is set right: the next answer is about him again.
    later(&place.world);
    is_refused(place.equipment("abebe", "wrong")).await?;
    place.finds(&abebe, "WRONG_PASSWORD", "").await?;
    strange.stop().await;
    place.close().await
}

/// A secret on the router itself hides him: RADIUS is never asked, whatever he does.
#[tokio::test(flavor = "multi_thread")]
async fn a_local_secret_that_hides_a_customer_is_named() -> Result<()> {
    let place = Place::open("hidden").await?;
    let leah = place.customer("leah").await?;
    place
        .site
        .router
        .add_user(Service::Pppoe, "leah", "of-long-ago");
    let asked = place.site.router.counters().requests;
    is_refused(place.equipment("leah", "leah")).await?;
    assert_eq!(
        place.site.router.counters().requests,
        asked,
        "RADIUS was asked"
    );
    let found = place
        .finds(&leah, "LOCAL_SECRET", "Remove that user from router Tower")
        .await?;
    assert_eq!(found["online"], false);

    let online = place.equipment("leah", "of-long-ago").dial().await.online();
    let found = place
        .finds(&leah, "LOCAL_SECRET", "Remove that user from router Tower")
        .await?;
    assert_eq!(
        found["online"], true,
        "at the router, and outside the system"
    );
    assert!(online.session().is_some());

    place.site.router.disable_user("leah", true);
    place.site.router.reboot();
    place.finds(&leah, "NEVER_ASKED", "").await?;
    is_refused(place.equipment("leah", "of-long-ago")).await?;
    place.finds(&leah, "WRONG_PASSWORD", "").await?;
    place.close().await
}

/// The cable is out: whatever is believed of him, his router neither speaks nor answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_is_down_is_named_before_its_customers() -> Result<()> {
    let place = Place::open("storm").await?;
    let omar = place.customer("omar").await?;
    let suad = place.customer("suad").await?;
    let online = place.site.dial("omar").await.online();
    online.started().await;
    is_refused(place.equipment("suad", "wrong")).await?;
    place.world.clock.advance(2 * MINUTE);
    place.site.router.unplug(true);
    for customer in [&omar, &suad] {
        let found = place
            .finds(
                customer,
                "ROUTER_DOWN",
                "Check power and cable of router Tower",
            )
            .await?;
        ensure!(shows(&found, "Router Tower was last heard."), "{found}");
    }
    place.site.router.unplug(false);
    assert!(online.interim().await);
    place.finds(&omar, "ONLINE", "").await?;
    place.finds(&suad, "WRONG_PASSWORD", "").await?;
    place.close().await
}

/// The router lost power for a moment and told nobody: his session was lost, and he has not dialled since.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_a_restart_lost_is_named() -> Result<()> {
    let place = Place::open("restart").await?;
    let juma = place.customer("juma").await?;
    let online = place.site.dial("juma").await.online();
    online.started().await;
    later(&place.world);
    place.site.router.reboot();
    later(&place.world);
    let found = place.finds(&juma, "SESSION_LOST", "off and on").await?;
    assert_eq!(found["online"], false);
    ensure!(
        says(&found["sentence"], "Router Tower restarted at"),
        "{found}"
    );
    ensure!(shows(&found, "Tower lost his session"), "{found}");
    let again = place.site.dial("juma").await.online();
    again.started().await;
    place.finds(&juma, "ONLINE", "").await?;
    place.close().await
}

/// A router that takes logins and reports no sessions: who is online there is seen on its list, and who is
/// not was let in and never seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_without_accounting_is_named() -> Result<()> {
    let place = Place::open("silent").await?;
    let wanjiru = place.customer("wanjiru").await?;
    let password = "another-api-password";
    let nowhere = std::net::UdpSocket::bind("127.0.0.1:0")?;
    let settings = Settings {
        api: Some(Api::new("agent", password)),
        resend: Duration::from_millis(10),
        ..Settings::new(
            "the-secret-of-mast",
            place.site.asked(),
            nowhere.local_addr()?,
        )
    };
    let mast = Router::start_on(settings, place.world.clock.clone(), Entropy::system()).await?;
    let coa = mast.incoming().context("the router takes CoA")?.port();
    let owner = &place.isp.owner;
    let id = owner
        .add_router("Mast", "127.0.0.1", "the-secret-of-mast", coa)
        .await?;
    let api = mast.api().context("the router has an API")?.port();
    owner.set_router_api(&id, "agent", password, api).await?;
    let known = &place.site.agent().overview().site;
    eventually("the site knows the other router", async || {
        let known = known
            .routers()
            .into_iter()
            .filter(|router| router.api.is_some());
        Ok((known.count() == 2).then_some(()))
    })
    .await?;

    let subscriber = mast.subscriber("wanjiru", "wanjiru", Method::MsChapV2);
    let online = subscriber.dial().await.online();
    let found = place
        .finds(&wanjiru, "NO_SESSION", "Look again in a minute")
        .await?;
    ensure!(says(&found["sentence"], "a moment ago"), "{found}");
    place.world.clock.advance(2 * MINUTE);
    let found = place
        .finds(
            &wanjiru,
            "UNREPORTED",
            "Switch accounting on at router Mast",
        )
        .await?;
    assert_eq!(found["online"], true);

    assert!(online.session().is_some());
    mast.reboot();
    let found = place
        .finds(&wanjiru, "NO_SESSION", "Look at the log of router Mast")
        .await?;
    assert_eq!(found["online"], false);
    soon("the other router stops", mast.stop()).await?;
    place.close().await
}
