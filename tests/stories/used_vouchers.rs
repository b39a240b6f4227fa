//! Whoever came with nothing but a code and is gone, or elsewhere: his code gives nothing twice.

use anyhow::{Context, Result};
use easyisp_shared::id::{TenantId, VoucherId};
use easyisp_shared::voucher;
use easyisp_shared::wire::DownKind;
use easyisp_tests::router::subscriber::Dial;
use easyisp_tests::world::{Provider, Site, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::vouchers::{held, make, phone};

/// V5: a used voucher stands at the site where its user is, and nowhere once he is deleted: shown again, its code lets
/// nobody in, and no site has it to let in by.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_whose_user_was_deleted_gives_nothing_more() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "deleted").await?;
    let site = Site::open(&world, &isp).await?;
    let batch = make(&isp, 1).await?;
    held(&site, 1).await?;
    let (id, code) = (&batch.ids[0], &batch.codes[0]);
    let id: VoucherId = id.parse().map(VoucherId).context("an id")?;
    let name = voucher::username(id);
    let shown = json!({"code": code});
    isp.owner.post("/vouchers/redeem", &shown).await?;
    site.knows(&name, "from the counter", |_| true).await?;
    let online = phone(&site, 1, code, "").dial().await.online();
    online.started().await;
    assert!(online.hang_up().await);
    let sites = isp.owner.get("/sites").await?;
    let main = &sites["sites"][0];
    let main_name = main["name"].as_str().context("a name")?;
    assert_eq!(stands_at(&world, &isp, id).await?, [main_name]);

    let path = format!("/customers/{}", id.0);
    let hill = isp.owner.post("/sites", &json!({"name": "Hill"})).await?;
    let moved = json!({"siteId": hill["id"]});
    isp.owner.put(&path, &moved).await?;
    site.knows_nobody(&name).await?;
    assert_eq!(stands_at(&world, &isp, id).await?, ["Hill"]);
    let again = phone(&site, 1, code, "").dial().await;
    assert!(matches!(again, Dial::Rejected(_)), "{again:?}");

    let back = json!({"siteId": main["id"]});
    isp.owner.put(&path, &back).await?;
    site.knows(&name, "back", |_| true).await?;
    let online = phone(&site, 1, code, "").dial().await.online();
    online.started().await;
    assert!(online.hang_up().await);

    let (status, _) = isp.owner.call(Method::DELETE, &path, None).await?;
    assert!(status.is_success(), "{status}");
    site.knows_nobody(&name).await?;
    assert_eq!(stands_at(&world, &isp, id).await?, [] as [String; 0]);
    let again = phone(&site, 1, code, "").dial().await;
    assert!(matches!(again, Dial::Rejected(_)), "{again:?}");
    let (status, _) = isp
        .owner
        .call(Method::POST, "/vouchers/redeem", Some(&shown))
        .await?;
    assert_eq!(status, StatusCode::CONFLICT);
    eventually("the site has nothing of it", async || {
        let known = &site.agent().overview().site;
        Ok(known.subscriber(name.as_bytes()).is_none().then_some(()))
    })
    .await?;
    site.stop().await;
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// The sites whose feeds have a voucher.
async fn stands_at(world: &World, isp: &Provider, voucher: VoucherId) -> Result<Vec<String>> {
    let me = isp.owner.get("/tenant/me").await?;
    let tenant = me["id"].as_str().context("the tenant's id")?.parse()?;
    let mut tx = world.db().begin(TenantId(tenant)).await?;
    let names = sqlx::query_scalar(
        "select s.name from feed f join sites s on s.tenant_id = f.tenant_id and s.id = f.site_id
          where f.tenant_id = $1 and f.kind = $2 and f.id = $3 and f.body is not null
          order by s.name",
    )
    .bind(tenant)
    .bind(i16::try_from(DownKind::Voucher.code())?)
    .bind(voucher.0);
    Ok(names.fetch_all(&mut *tx).await?)
}
