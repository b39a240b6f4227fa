//! Customers as a file shows them, some at a time.

use easyisp_shared::id::CustomerId;
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;

use super::list::Filter;
use crate::customers::rules::beginning_of_phone;
use crate::customers::words::{ConnectionType, Standing};
use crate::db::Tx;

/// A customer as a file shows him.
#[derive(Clone, Debug, sqlx::FromRow)]
#[expect(missing_docs, reason = "the columns' names")]
pub struct ExportRow {
    pub id: CustomerId,
    pub account_number: i32,
    pub username: String,
    pub password_sealed: Vec<u8>,
    pub name: String,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub connection_type: ConnectionType,
    pub standing: Standing,
    pub package_name: Option<String>,
    pub router_name: Option<String>,
    pub site_name: String,
    pub paid_until: Timestamp,
    pub served_until: Timestamp,
    pub auto_renew: bool,
    pub devices: Option<i32>,
    pub static_ip: Option<String>,
    pub macs: Vec<String>,
    pub location: Option<String>,
    pub latitude: Option<f64>,
    pub longitude: Option<f64>,
    pub apartment_number: Option<String>,
    pub house_number: Option<String>,
    pub installation_fee: Cents,
    pub balance: Cents,
    pub tags: Vec<String>,
    pub parent_username: Option<String>,
    pub postpaid: bool,
    pub created_at: Timestamp,
}

/// Up to `most` of the customers of a list, in its order, after the one made then.
pub async fn exported(
    tx: &mut Tx,
    filter: &Filter,
    after: Option<(Timestamp, CustomerId)>,
    most: i64,
    now: Timestamp,
) -> sqlx::Result<Vec<ExportRow>> {
    let types: Vec<&str> = filter.types.iter().map(|kind| kind.word()).collect();
    let search = filter.search.as_deref();
    let (before, beyond) = after.unzip();
    sqlx::query_as(
        "select c.id, c.account_number, c.username, c.password_sealed, c.name, c.email, c.phone,
                c.connection_type, c.standing, p.name as package_name, r.name as router_name,
                s.name as site_name, c.paid_until, c.served_until, c.auto_renew, c.devices, c.static_ip, c.macs,
                c.location, c.latitude, c.longitude, c.apartment_number, c.house_number, c.installation_fee,
                coalesce((select balance from wallets
                           where tenant_id = $1 and customer_id = c.id), 0) as balance,
                array(select tag from customer_tags
                       where tenant_id = $1 and customer_id = c.id order by tag) as tags,
                (select username from customers k where k.tenant_id = $1 and k.id = c.parent_id)
                    as parent_username, c.postpaid,
                c.created_at
           from (select * from customers
                  where tenant_id = $1 and deleted_at is null
                    and connection_type = any($2)
                    and ($3::text is null or id = any((select found_customers($1, $3, $4))::uuid[]))
                    and ($5::uuid is null or router_id = $5)
                    and ($6::uuid is null or package_id = $6)
                    and ($7::text is null
                         or $7 = case when standing <> 'ACTIVE' then standing
                                      when served_until <= $8 then 'EXPIRED'
                                      else 'ACTIVE' end)
                    and ($12::text is null
                         or id = any(array(select customer_id from customer_tags
                                            where tenant_id = $1 and tag = $12)))
                    and ($9::timestamptz is null
                         or created_at < $9 or created_at = $9 and id > $10)
                  order by created_at desc, id
                  limit $11) c
           join sites s on s.tenant_id = $1 and s.id = c.site_id
           left join packages p on p.tenant_id = $1 and p.id = c.package_id
           left join routers r on r.tenant_id = $1 and r.id = c.router_id
          order by c.created_at desc, c.id",
    )
    .bind(tx.tenant())
    .bind(types)
    .bind(search)
    .bind(search.and_then(beginning_of_phone))
    .bind(filter.router)
    .bind(filter.package)
    .bind(filter.status)
    .bind(now)
    .bind(before)
    .bind(beyond)
    .bind(most)
    .bind(&filter.tag)
    .fetch_all(&mut **tx)
    .await
}
