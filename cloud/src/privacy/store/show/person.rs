//! The subscriber himself.

use easyisp_shared::id::CustomerId;
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sqlx::FromRow;
use utoipa::ToSchema;

use crate::customers::ConnectionType;
use crate::db::Tx;

/// The subscriber himself.
#[derive(FromRow, Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = SubjectPerson)]
pub struct Person {
    id: CustomerId,
    account_number: i32,
    username: String,
    name: String,
    email: Option<String>,
    phone: Option<String>,
    /// The phone in the form in which it is called.
    phone_number: Option<String>,
    connection_type: ConnectionType,
    standing: String,
    package: Option<String>,
    router: Option<String>,
    site: String,
    paid_until: Timestamp,
    funded_until: Option<Timestamp>,
    auto_renew: bool,
    paused_at: Option<Timestamp>,
    promised_until: Option<Timestamp>,
    /// Labels that operators gave him.
    tags: Vec<String>,
    static_ip: Option<String>,
    /// Devices he is locked to.
    locked_macs: Vec<String>,
    /// Devices he was seen with.
    remembered_macs: Vec<String>,
    /// Devices that first logins bound him to.
    bound_macs: Vec<String>,
    location: Option<String>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    apartment_number: Option<String>,
    house_number: Option<String>,
    installation_fee: Cents,
    total_spent: Cents,
    wallet_balance: Cents,
    /// Routes and prefixes of his line.
    #[schema(value_type = Object)]
    networks: Value,
    last_ip: Option<String>,
    last_mac: Option<String>,
    last_seen_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
    deleted_at: Option<Timestamp>,
    erased_at: Option<Timestamp>,
}

/// The subscriber himself.
pub async fn person(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Person> {
    sqlx::query_as(
        "select c.id, c.account_number, c.username, c.name, c.email, c.phone, c.phone_number,
                c.connection_type, c.standing, p.name as package, r.name as router, s.name as site,
                c.paid_until, c.funded_until, c.auto_renew, c.paused_at, c.promised_until,
                array(select tag from customer_tags
                       where tenant_id = $1 and customer_id = c.id order by tag) as tags, c.static_ip, c.macs as locked_macs,
                c.remembered_macs, c.bound_macs, c.location, c.latitude, c.longitude, c.apartment_number,
                c.house_number, c.installation_fee, c.total_spent,
                coalesce(w.balance, 0) as wallet_balance, c.networks, u.last_ip, u.last_mac,
                u.last_seen_at, c.created_at, c.updated_at, c.deleted_at, c.erased_at
           from customers c
           join sites s on s.tenant_id = $1 and s.id = c.site_id
           left join packages p on p.tenant_id = $1 and p.id = c.package_id
           left join routers r on r.tenant_id = $1 and r.id = c.router_id
           left join wallets w on w.tenant_id = $1 and w.customer_id = c.id
           left join customer_usage u on u.tenant_id = $1 and u.customer_id = c.id
          where c.tenant_id = $1 and c.id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_one(&mut **tx)
    .await
}
