//! SQL on gateways, and their keys.

use easyisp_shared::id::GatewayId;
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use secrecy::SecretString;
use sqlx::FromRow;

use super::super::mpesa::Merchant;
use super::super::words::{C2bVersion, Env, GatewayType, SubType};
use crate::db::Tx;
use crate::secrets::{SecretError, Secrets, TenantKey};

/// The columns that are sealed, as their names go into the seal.
pub(in super::super) const KEY: &str = "gateways.consumer_key";
pub(in super::super) const SECRET: &str = "gateways.consumer_secret";
pub(in super::super) const PASSKEY: &str = "gateways.passkey";
pub(in super::super) const TOKEN: &str = "gateways.callback_token";
pub(in super::super) const C2B_TOKEN: &str = "gateways.c2b_token";
pub(in super::super) const INITIATOR: &str = "gateways.initiator_password";
pub(in super::super) const RESULT_TOKEN: &str = "gateways.result_token";

/// A gateway's row.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Keys {
    pub(in super::super) id: GatewayId,
    #[sqlx(rename = "type")]
    pub(in super::super) kind: GatewayType,
    pub(in super::super) sub_type: SubType,
    pub(in super::super) name: Option<String>,
    pub(in super::super) shortcode: String,
    pub(in super::super) store_number: Option<String>,
    pub(in super::super) account_number: Option<String>,
    pub(in super::super) consumer_key_sealed: Vec<u8>,
    pub(in super::super) consumer_secret_sealed: Vec<u8>,
    pub(in super::super) passkey_sealed: Vec<u8>,
    pub(in super::super) callback_token_sealed: Vec<u8>,
    pub(in super::super) env: Env,
    pub(in super::super) is_default: bool,
    pub(in super::super) for_hotspot: bool,
    pub(in super::super) for_pppoe: bool,
    pub(in super::super) c2b_version: Option<C2bVersion>,
    pub(in super::super) c2b_token_sealed: Option<Vec<u8>>,
    pub(in super::super) c2b_asked_at: Option<Timestamp>,
    pub(in super::super) c2b_registered_at: Option<Timestamp>,
    pub(in super::super) pull_enabled: bool,
    pub(in super::super) pull_number: Option<String>,
    pub(in super::super) pull_registered_at: Option<Timestamp>,
    pub(in super::super) pulled_until: Option<Timestamp>,
    pub(in super::super) initiator_name: Option<String>,
    pub(in super::super) initiator_password_sealed: Option<Vec<u8>>,
    pub(in super::super) result_token_sealed: Option<Vec<u8>>,
    pub(in super::super) refund_day_limit: Cents,
    pub(in super::super) match_suffix: bool,
    pub(in super::super) confirm_above: Cents,
    /// It is the platform's short code, and has no keys here.
    pub(in super::super) platform: bool,
    pub(in super::super) created_at: Timestamp,
    pub(in super::super) updated_at: Timestamp,
}

impl Keys {
    /// The account that a bank wants of whoever pays to its paybill, as long as M-Pesa shows it; `None` = payers name
    /// their own.
    pub(in super::super) fn bank_account(&self) -> Option<String> {
        match (self.sub_type, &self.account_number) {
            (SubType::Bank, Some(account)) => Some(account.chars().take(20).collect()),
            (SubType::Bank, None) | (SubType::Paybill | SubType::Buygoods, _) => None,
        }
    }
}

/// The two keys that every provider's application has, opened.
pub(in super::super) async fn client_keys(
    secrets: &Secrets,
    tx: &mut Tx,
    keys: &Keys,
) -> Result<(SecretString, SecretString), SecretError> {
    let tenant = secrets.tenant(tx).await?;
    Ok((
        open(&tenant, KEY, keys.id, &keys.consumer_key_sealed)?,
        open(&tenant, SECRET, keys.id, &keys.consumer_secret_sealed)?,
    ))
}

/// The gateway's merchant, its keys opened.
pub(in super::super) async fn merchant(
    secrets: &Secrets,
    tx: &mut Tx,
    keys: &Keys,
) -> Result<Merchant, SecretError> {
    let tenant = secrets.tenant(tx).await?;
    Ok(Merchant {
        env: keys.env,
        kind: keys.sub_type,
        shortcode: keys.shortcode.clone(),
        store_number: keys.store_number.clone(),
        key: open(&tenant, KEY, keys.id, &keys.consumer_key_sealed)?,
        secret: open(&tenant, SECRET, keys.id, &keys.consumer_secret_sealed)?,
        passkey: open(&tenant, PASSKEY, keys.id, &keys.passkey_sealed)?,
    })
}

/// The secret in the path of this gateway's callbacks.
pub(in super::super) async fn callback_token(
    secrets: &Secrets,
    tx: &mut Tx,
    keys: &Keys,
) -> Result<SecretString, SecretError> {
    let tenant = secrets.tenant(tx).await?;
    open(&tenant, TOKEN, keys.id, &keys.callback_token_sealed)
}

/// The secret in the path of this gateway's C2B addresses; `None` when it has none yet.
pub(in super::super) async fn c2b_token(
    secrets: &Secrets,
    tx: &mut Tx,
    keys: &Keys,
) -> Result<Option<SecretString>, SecretError> {
    let Some(sealed) = &keys.c2b_token_sealed else {
        return Ok(None);
    };
    let tenant = secrets.tenant(tx).await?;
    open(&tenant, C2B_TOKEN, keys.id, sealed).map(Some)
}

/// The initiator's password; `None` when there is none.
pub(in super::super) async fn initiator_password(
    secrets: &Secrets,
    tx: &mut Tx,
    keys: &Keys,
) -> Result<Option<SecretString>, SecretError> {
    let Some(sealed) = &keys.initiator_password_sealed else {
        return Ok(None);
    };
    let tenant = secrets.tenant(tx).await?;
    open(&tenant, INITIATOR, keys.id, sealed).map(Some)
}

/// The secret in the path of the addresses to which results come; `None` when it has none yet.
pub(in super::super) async fn result_token(
    secrets: &Secrets,
    tx: &mut Tx,
    keys: &Keys,
) -> Result<Option<SecretString>, SecretError> {
    let Some(sealed) = &keys.result_token_sealed else {
        return Ok(None);
    };
    let tenant = secrets.tenant(tx).await?;
    open(&tenant, RESULT_TOKEN, keys.id, sealed).map(Some)
}

/// Writes the secret of the addresses to which results come, and its digest.
pub(in super::super) async fn set_result_token(
    tx: &mut Tx,
    id: GatewayId,
    sealed: &[u8],
    digest: &[u8; 32],
) -> sqlx::Result<()> {
    sqlx::query(
        "with token as (
             insert into directory.callback_tokens (token_digest, tenant_id, gateway_id, purpose)
             values ($4, $1, $2, 'result'))
         update gateways set result_token_sealed = $3 where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(sealed)
    .bind(digest.as_slice())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn open(
    tenant: &TenantKey,
    column: &str,
    id: GatewayId,
    sealed: &[u8],
) -> Result<SecretString, SecretError> {
    let clear = tenant.open(column, id.0, sealed)?;
    Ok(String::from_utf8_lossy(&clear).into_owned().into())
}

macro_rules! columns {
    () => {
        "select id, type, sub_type, name, shortcode, store_number, account_number, consumer_key_sealed,
                consumer_secret_sealed, passkey_sealed, callback_token_sealed, env, is_default,
                for_hotspot, for_pppoe, c2b_version, c2b_token_sealed, c2b_asked_at, c2b_registered_at,
                pull_enabled, pull_number, pull_registered_at, pulled_until, initiator_name,
                initiator_password_sealed, result_token_sealed, refund_day_limit, match_suffix, confirm_above,
                platform, created_at, updated_at
           from gateways
          where tenant_id = $1"
    };
}

/// The gateway for a customer's phone: one at the provider whose wallet is most likely behind it, before the others; one
/// of the tenant's own before the platform's; one that is meant for how he is connected, the default first. `None` = none
/// at all.
pub(in super::super) async fn choose(
    tx: &mut Tx,
    hotspot: bool,
    provider: GatewayType,
) -> sqlx::Result<Option<Keys>> {
    sqlx::query_as(concat!(
        columns!(),
        " and deleted_at is null
          order by type = $3 desc, platform, case when $2 then for_hotspot else for_pppoe end desc, is_default desc, created_at
          limit 1"
    ))
    .bind(tx.tenant())
    .bind(hotspot)
    .bind(provider)
    .fetch_optional(&mut **tx)
    .await
}

/// Since when M-Pesa tells another gateway of what comes to the short code of this one. `None` = it does not.
pub(in super::super) async fn registered_beside(
    tx: &mut Tx,
    id: GatewayId,
) -> sqlx::Result<Option<Timestamp>> {
    sqlx::query_scalar(
        "select min(same.c2b_registered_at)
           from gateways here
           join gateways same on same.tenant_id = $1 and same.shortcode = here.shortcode
                             and same.type = here.type and same.env = here.env and same.id <> here.id
                             and same.deleted_at is null
          where here.tenant_id = $1 and here.id = $2",
    )
    .bind(tx.tenant())
    .bind(id)
    .fetch_one(&mut **tx)
    .await
}

/// A gateway, also one that was deleted since: its payments are still followed up.
pub(in super::super) async fn find(tx: &mut Tx, id: GatewayId) -> sqlx::Result<Option<Keys>> {
    sqlx::query_as(concat!(columns!(), " and id = $2"))
        .bind(tx.tenant())
        .bind(id)
        .fetch_optional(&mut **tx)
        .await
}

/// A gateway through which may be asked for money.
pub(in super::super) async fn in_use(tx: &mut Tx, id: GatewayId) -> sqlx::Result<Option<Keys>> {
    sqlx::query_as(concat!(columns!(), " and id = $2 and deleted_at is null"))
        .bind(tx.tenant())
        .bind(id)
        .fetch_optional(&mut **tx)
        .await
}

/// A gateway that is to be changed, locked.
pub(in super::super) async fn lock(tx: &mut Tx, id: GatewayId) -> sqlx::Result<Option<Keys>> {
    sqlx::query_as(concat!(
        columns!(),
        " and id = $2 and deleted_at is null for update"
    ))
    .bind(tx.tenant())
    .bind(id)
    .fetch_optional(&mut **tx)
    .await
}

/// A gateway of which M-Pesa is asked what has moved, locked; the platform's own short code too, which is hidden.
pub(in super::super) async fn lock_to_pull(
    tx: &mut Tx,
    id: GatewayId,
) -> sqlx::Result<Option<Keys>> {
    sqlx::query_as(concat!(
        columns!(),
        " and id = $2 and pull_enabled and (platform or deleted_at is null) for update"
    ))
    .bind(tx.tenant())
    .bind(id)
    .fetch_optional(&mut **tx)
    .await
}

/// All gateways, oldest first.
pub(in super::super) async fn list(tx: &mut Tx) -> sqlx::Result<Vec<Keys>> {
    sqlx::query_as(concat!(
        columns!(),
        " and deleted_at is null order by created_at, id limit 1000"
    ))
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await
}

/// The platform's short code, as this tenant has it; also where it was switched off since. Locked.
pub(in super::super) async fn lock_platform(tx: &mut Tx) -> sqlx::Result<Option<Keys>> {
    sqlx::query_as(concat!(columns!(), " and platform for update"))
        .bind(tx.tenant())
        .fetch_optional(&mut **tx)
        .await
}

/// Switches the platform's short code on or off for this tenant, and writes which it is.
pub(in super::super) async fn set_platform(
    tx: &mut Tx,
    gateway: &Keys,
    off_since: Option<Timestamp>,
) -> sqlx::Result<()> {
    sqlx::query(
        "update gateways set shortcode = $3, env = $4, initiator_name = $5, deleted_at = $6, updated_at = $7
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(gateway.id)
    .bind(&gateway.shortcode)
    .bind(gateway.env)
    .bind(&gateway.initiator_name)
    .bind(off_since)
    .bind(gateway.updated_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes a new gateway and the digest of its callbacks' secret.
pub(in super::super) async fn insert(
    tx: &mut Tx,
    gateway: &Keys,
    token_digest: &[u8; 32],
) -> sqlx::Result<()> {
    sqlx::query(
        "with token as (
             insert into directory.callback_tokens (token_digest, tenant_id, gateway_id, purpose)
             values ($17, $1, $2, 'stk'))
         insert into gateways (tenant_id, id, type, sub_type, name, shortcode, store_number,
                               account_number, consumer_key_sealed, consumer_secret_sealed, passkey_sealed,
                               callback_token_sealed, env, is_default, for_hotspot, for_pppoe, created_at,
                               updated_at, c2b_version, pull_enabled, pull_number, initiator_name,
                               initiator_password_sealed, refund_day_limit, match_suffix, platform,
                               confirm_above)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $18, $18, $19, $20,
                 $21, $22, $23, $24, $25, $26, $27)",
    )
    .bind(tx.tenant())
    .bind(gateway.id)
    .bind(gateway.kind)
    .bind(gateway.sub_type)
    .bind(&gateway.name)
    .bind(&gateway.shortcode)
    .bind(&gateway.store_number)
    .bind(&gateway.account_number)
    .bind(&gateway.consumer_key_sealed)
    .bind(&gateway.consumer_secret_sealed)
    .bind(&gateway.passkey_sealed)
    .bind(&gateway.callback_token_sealed)
    .bind(gateway.env)
    .bind(gateway.is_default)
    .bind(gateway.for_hotspot)
    .bind(gateway.for_pppoe)
    .bind(token_digest.as_slice())
    .bind(gateway.created_at)
    .bind(gateway.c2b_version)
    .bind(gateway.pull_enabled)
    .bind(&gateway.pull_number)
    .bind(&gateway.initiator_name)
    .bind(&gateway.initiator_password_sealed)
    .bind(gateway.refund_day_limit)
    .bind(gateway.match_suffix)
    .bind(gateway.platform)
    .bind(gateway.confirm_above)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes a changed gateway; who is the default is another question.
pub(in super::super) async fn save(tx: &mut Tx, gateway: &Keys) -> sqlx::Result<()> {
    sqlx::query(
        "update gateways
            set sub_type = $3, name = $4, shortcode = $5, store_number = $6, account_number = $7,
                consumer_key_sealed = $8, consumer_secret_sealed = $9, passkey_sealed = $10, env = $11,
                for_hotspot = $12, for_pppoe = $13, updated_at = $14, c2b_version = $15,
                c2b_registered_at = $16, c2b_asked_at = $17,
                pull_enabled = $18, pull_number = $19, pull_registered_at = $20, initiator_name = $21,
                initiator_password_sealed = $22, refund_day_limit = $23, match_suffix = $24,
                confirm_above = $25
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(gateway.id)
    .bind(gateway.sub_type)
    .bind(&gateway.name)
    .bind(&gateway.shortcode)
    .bind(&gateway.store_number)
    .bind(&gateway.account_number)
    .bind(&gateway.consumer_key_sealed)
    .bind(&gateway.consumer_secret_sealed)
    .bind(&gateway.passkey_sealed)
    .bind(gateway.env)
    .bind(gateway.for_hotspot)
    .bind(gateway.for_pppoe)
    .bind(gateway.updated_at)
    .bind(gateway.c2b_version)
    .bind(gateway.c2b_registered_at)
    .bind(gateway.c2b_asked_at)
    .bind(gateway.pull_enabled)
    .bind(&gateway.pull_number)
    .bind(gateway.pull_registered_at)
    .bind(&gateway.initiator_name)
    .bind(&gateway.initiator_password_sealed)
    .bind(gateway.refund_day_limit)
    .bind(gateway.match_suffix)
    .bind(gateway.confirm_above)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes the secret of the gateway's C2B addresses and its digest. One it had before is still known: the
/// provider may go on using it.
pub(in super::super) async fn set_c2b_token(
    tx: &mut Tx,
    id: GatewayId,
    sealed: &[u8],
    digest: &[u8; 32],
) -> sqlx::Result<()> {
    sqlx::query(
        "with token as (
             insert into directory.callback_tokens (token_digest, tenant_id, gateway_id, purpose)
             values ($4, $1, $2, 'c2b'))
         update gateways set c2b_token_sealed = $3, c2b_registered_at = null, c2b_asked_at = null
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(sealed)
    .bind(digest.as_slice())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes that the provider will tell what has moved, when it is asked.
pub(in super::super) async fn pull_registered(
    tx: &mut Tx,
    id: GatewayId,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query("update gateways set pull_registered_at = $3 where tenant_id = $1 and id = $2")
        .bind(tx.tenant())
        .bind(id)
        .bind(now)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Writes that everything that moved before was asked for and booked.
pub(in super::super) async fn pulled(
    tx: &mut Tx,
    id: GatewayId,
    until: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update gateways set pulled_until = greatest(pulled_until, $3)
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(until)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Makes this gateway the default, and no other.
pub(in super::super) async fn make_default(tx: &mut Tx, id: GatewayId) -> sqlx::Result<()> {
    sqlx::query(
        "update gateways set is_default = false where tenant_id = $1 and is_default and id <> $2",
    )
    .bind(tx.tenant())
    .bind(id)
    .execute(&mut **tx)
    .await?;
    sqlx::query("update gateways set is_default = true where tenant_id = $1 and id = $2")
        .bind(tx.tenant())
        .bind(id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Hides a gateway; the oldest one left becomes the default when it was.
pub(in super::super) async fn delete(
    tx: &mut Tx,
    id: GatewayId,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update gateways set deleted_at = $3, is_default = false where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "update gateways set is_default = true
          where tenant_id = $1
            and id = (select id from gateways where tenant_id = $1 and deleted_at is null and not platform
                       order by created_at, id limit 1)
            and not exists (select from gateways where tenant_id = $1 and is_default)",
    )
    .bind(tx.tenant())
    .execute(&mut **tx)
    .await?;
    Ok(())
}
