//! SQL on what customers were before they were changed together.

use easyisp_shared::id::CustomerId;
use easyisp_shared::time::Timestamp;
use serde_json::Value;
use sqlx::types::Json;

use crate::db::Tx;

/// What customers are who are there, by their columns, and their labels; with on whose account, how they are billed and
/// whether they pause, which is not put back. Locks them in the order of their ids.
pub async fn remember(
    tx: &mut Tx,
    customers: &[CustomerId],
) -> sqlx::Result<Vec<(CustomerId, Value)>> {
    sqlx::query_as(
        "select c.id, jsonb_build_object(
                    'id', c.id, 'site_id', c.site_id, 'password', encode(c.password_sealed, 'hex'), 'name', c.name,
                    'email', c.email, 'phone', c.phone, 'phone_number', c.phone_number,
                    'phone_hash', c.phone_hash, 'connection_type', c.connection_type, 'standing', c.standing,
                    'package_id', c.package_id, 'router_id', c.router_id, 'paid_until', c.paid_until,
                    'anchor_day', c.anchor_day, 'auto_renew', c.auto_renew, 'devices', c.devices,
                    'location', c.location, 'latitude', c.latitude, 'longitude', c.longitude,
                    'apartment_number', c.apartment_number, 'house_number', c.house_number,
                    'installation_fee', c.installation_fee, 'static_ip', c.static_ip, 'macs', c.macs,
                    'rate_up_mbps', c.rate_up_mbps, 'rate_down_mbps', c.rate_down_mbps,
                    'rate_until', c.rate_until, 'promised_from', c.promised_from,
                    'promised_until', c.promised_until, 'username', c.username, 'parent_id', c.parent_id,
                    'postpaid', c.postpaid, 'paused_at', c.paused_at,
                    'tags', array(select t.tag from customer_tags t
                                   where t.tenant_id = $1 and t.customer_id = c.id
                                   order by t.tag collate \"C\"))
           from customers c
          where c.tenant_id = $1 and c.id = any($2) and c.deleted_at is null
          order by c.id
            for update of c",
    )
    .bind(tx.tenant())
    .bind(customers)
    .fetch_all(&mut **tx)
    .await
}

/// Writes what customers were, who are locked. Until when their wallets carry them stays where nothing moved by which it
/// is reckoned; who was moved is reckoned anew.
pub async fn put_back(tx: &mut Tx, rows: &[&Value], now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "update customers c
            set site_id = r.site_id, password_sealed = decode(r.password, 'hex'), name = r.name, email = r.email,
                phone = r.phone, phone_number = r.phone_number, phone_hash = r.phone_hash,
                connection_type = r.connection_type, standing = r.standing, package_id = r.package_id,
                router_id = r.router_id, paid_until = r.paid_until, anchor_day = r.anchor_day,
                auto_renew = r.auto_renew, devices = r.devices, location = r.location, latitude = r.latitude,
                longitude = r.longitude, apartment_number = r.apartment_number, house_number = r.house_number,
                installation_fee = r.installation_fee, static_ip = r.static_ip, macs = r.macs,
                rate_up_mbps = r.rate_up_mbps, rate_down_mbps = r.rate_down_mbps, rate_until = r.rate_until,
                promised_from = r.promised_from, promised_until = r.promised_until,
                funded_until = case when c.parent_id is not null
                                         or c.paid_until = r.paid_until and c.auto_renew = r.auto_renew
                                            and c.package_id is not distinct from r.package_id
                                            and c.standing = r.standing
                                    then c.funded_until end,
                updated_at = $3, version = c.version + 1
           from jsonb_to_recordset($2) as r (
                id uuid, site_id uuid, password text, name text, email text, phone text, phone_number text,
                phone_hash text, connection_type text, standing text, package_id uuid, router_id uuid,
                paid_until timestamptz, anchor_day smallint, auto_renew boolean, devices integer, location text,
                latitude double precision, longitude double precision, apartment_number text,
                house_number text, installation_fee bigint, static_ip text, macs text[], rate_up_mbps integer,
                rate_down_mbps integer, rate_until timestamptz, promised_from timestamptz,
                promised_until timestamptz)
          where c.tenant_id = $1 and c.id = r.id",
    )
    .bind(tx.tenant())
    .bind(Json(rows))
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
