//! What routers have of customers who log in nowhere.

use easyisp_shared::id::{CustomerId, RouterId, SiteId};

use crate::customers::lines::Told;
use crate::db::Tx;

/// Writes what a site said of its own customers at its own routers; an older word changes nothing.
pub async fn note_lines(tx: &mut Tx, site: SiteId, told: &[Told]) -> sqlx::Result<()> {
    sqlx::query(
        "insert into customer_lines (tenant_id, customer_id, router_id, state, why, address, reach, up_kbps,
                                     down_kbps, at)
         select $1, n.customer, n.router, n.state, n.why, n.address, n.reach, n.up, n.down, n.at
           from unnest($3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::integer[],
                       $10::integer[], $11::timestamptz[])
                as n (customer, router, state, why, address, reach, up, down, at)
           join customers c on c.tenant_id = $1 and c.id = n.customer and c.site_id = $2
                           and c.deleted_at is null
           join routers r on r.tenant_id = $1 and r.id = n.router and r.site_id = $2
             on conflict (tenant_id, customer_id) do update
            set router_id = excluded.router_id, state = excluded.state, why = excluded.why,
                address = excluded.address, reach = excluded.reach, up_kbps = excluded.up_kbps,
                down_kbps = excluded.down_kbps, at = excluded.at
          where customer_lines.at <= excluded.at",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(told.iter().map(|one| one.customer).collect::<Vec<_>>())
    .bind(told.iter().map(|one| one.router).collect::<Vec<_>>())
    .bind(told.iter().map(|one| one.state).collect::<Vec<_>>())
    .bind(told.iter().map(|one| one.why.as_str()).collect::<Vec<_>>())
    .bind(told.iter().map(|one| one.address.as_deref()).collect::<Vec<_>>())
    .bind(told.iter().map(|one| one.reach).collect::<Vec<_>>())
    .bind(told.iter().map(|one| one.up_kbps).collect::<Vec<_>>())
    .bind(told.iter().map(|one| one.down_kbps).collect::<Vec<_>>())
    .bind(told.iter().map(|one| one.at).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets customers of whom a router of the site has nothing any more.
pub async fn forget_lines(
    tx: &mut Tx,
    site: SiteId,
    gone: &[(CustomerId, RouterId)],
) -> sqlx::Result<()> {
    sqlx::query(
        "delete from customer_lines l
          using unnest($3::uuid[], $4::uuid[]) as g (customer, router), routers r
          where l.tenant_id = $1 and l.customer_id = g.customer and l.router_id = g.router
            and r.tenant_id = $1 and r.id = g.router and r.site_id = $2",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(
        gone.iter()
            .map(|(customer, _)| *customer)
            .collect::<Vec<_>>(),
    )
    .bind(gone.iter().map(|(_, router)| *router).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    Ok(())
}
