//! Bearer tokens: 32 random bytes, of which only the digest is stored.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{OperatorId, TenantId};
use easyisp_shared::time::Timestamp;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::Operator;
use crate::db::{Database, Tx};
use crate::error::ApiError;
use crate::permission::{Role, effective};

/// How long a token is good for.
pub const LIFETIME: Duration = Duration::from_secs(7 * 86_400);

/// The digest of a bearer token, which is all that we keep of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token([u8; 32]);

impl Token {
    /// Makes a token; returns what is stored and what the client gets.
    pub fn new(entropy: &Entropy) -> (Token, String) {
        let bytes = Zeroizing::new(entropy.bytes::<32>());
        (
            Token::of(bytes.as_slice()),
            URL_SAFE_NO_PAD.encode(bytes.as_slice()),
        )
    }

    /// Reads what a client sent; `None` when it is no token of ours.
    pub fn parse(text: &str) -> Option<Token> {
        if text.len() != 43 {
            return None;
        }
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
        (bytes.len() == 32).then(|| Token::of(&bytes))
    }

    fn of(bytes: &[u8]) -> Token {
        Token(Sha256::digest(bytes).into())
    }

    fn digest(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Who a token belongs to, and how he and his tenant stand.
#[derive(Clone, Debug)]
pub struct Caller {
    /// His tenant.
    pub tenant: TenantId,
    /// Himself.
    pub operator: OperatorId,
    platform: bool,
    row: CallerRow,
    standing: Standing,
}

#[derive(Clone, Debug, sqlx::FromRow)]
struct CallerRow {
    name: String,
    email: String,
    role: Role,
    added_permissions: Vec<String>,
    removed_permissions: Vec<String>,
    tenant_status: String,
    trial_ends_at: Option<Timestamp>,
    subscription_ends_at: Option<Timestamp>,
}

/// How a tenant stands with the platform at this moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// In order.
    Good,
    /// The trial or the subscription has ended.
    Expired,
    /// Stopped by the platform.
    Suspended,
}

impl Standing {
    /// From the stored status and the two ends.
    pub fn of(
        status: &str,
        trial_ends_at: Option<Timestamp>,
        subscription_ends_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Standing {
        let past = |end: Option<Timestamp>| end.is_some_and(|end| end <= now);
        match status {
            "SUSPENDED" => Standing::Suspended,
            "TRIAL" if !past(trial_ends_at) => Standing::Good,
            "ACTIVE" if !past(subscription_ends_at) => Standing::Good,
            _ => Standing::Expired, // EXPIRED, or an end has passed
        }
    }
}

impl Caller {
    /// 403 when the tenant is suspended, or expired: unless the route is one by which its owner comes back.
    pub fn standing(&self, even_expired: bool) -> Result<(), ApiError> {
        match self.standing {
            Standing::Good => Ok(()),
            Standing::Expired if even_expired && self.row.role == Role::SuperAdmin => Ok(()),
            Standing::Expired => Err(expired()),
            Standing::Suspended => Err(suspended()),
        }
    }

    pub(super) fn into_operator(
        self,
        address: std::net::IpAddr,
        request_id: std::sync::Arc<str>,
    ) -> Operator {
        let row = self.row;
        Operator {
            tenant: self.tenant,
            id: self.operator,
            permissions: effective(row.role, &row.added_permissions, &row.removed_permissions),
            name: row.name,
            email: row.email,
            role: row.role,
            platform: self.platform,
            address,
            request_id,
        }
    }
}

/// The refusal of an expired tenant.
pub(super) fn expired() -> ApiError {
    ApiError::forbidden(
        "TENANT_EXPIRED",
        "This account's trial or subscription has ended; its owner can sign in and renew it",
    )
}

/// The refusal of a suspended tenant.
pub(super) fn suspended() -> ApiError {
    ApiError::forbidden(
        "TENANT_SUSPENDED",
        "This account is suspended; contact the platform's support",
    )
}

/// Who holds this token now. `None` when it is unknown or expired, or its operator may not sign in.
///
/// Two indexed queries, read live: what changes about an operator or his tenant counts from the next request.
pub async fn caller(db: &Database, token: &Token, now: Timestamp) -> sqlx::Result<Option<Caller>> {
    let mut directory = db.directory().await?;
    let session: Option<(TenantId, OperatorId, bool)> = sqlx::query_as(
        "select s.tenant_id, s.operator_id, p.operator_id is not null
           from directory.sessions s
           left join directory.platform_operators p using (operator_id)
          where s.token_digest = $1 and s.expires_at > $2",
    )
    .bind(token.digest())
    .bind(now)
    .fetch_optional(&mut *directory)
    .await?;
    drop(directory);
    let Some((tenant, operator, platform)) = session else {
        return Ok(None);
    };
    let mut tx = db.begin(tenant).await?;
    let row: Option<CallerRow> = sqlx::query_as(
        "select o.name, o.email, o.role, o.added_permissions, o.removed_permissions,
                t.status as tenant_status, t.trial_ends_at, t.subscription_ends_at
           from operators o
           join tenants t on t.tenant_id = o.tenant_id
          where o.tenant_id = $1 and o.id = $2 and o.status = 'ACTIVE' and o.deleted_at is null",
    )
    .bind(tenant)
    .bind(operator)
    .fetch_optional(&mut *tx)
    .await?;
    Ok(row.map(|row| Caller {
        tenant,
        operator,
        platform,
        standing: Standing::of(
            &row.tenant_status,
            row.trial_ends_at,
            row.subscription_ends_at,
            now,
        ),
        row,
    }))
}

/// Stores a new token.
pub async fn insert(
    tx: &mut Tx,
    operator: OperatorId,
    token: &Token,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into directory.sessions (token_digest, tenant_id, operator_id, created_at, expires_at)
         values ($1, $2, $3, $4, $5)",
    )
    .bind(token.digest())
    .bind(tx.tenant())
    .bind(operator)
    .bind(now)
    .bind(now.plus(LIFETIME))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ends one token.
pub async fn end(tx: &mut Tx, token: &Token) -> sqlx::Result<()> {
    sqlx::query("delete from directory.sessions where token_digest = $1 and tenant_id = $2")
        .bind(token.digest())
        .bind(tx.tenant())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Ends every token of an operator but `keep`.
pub async fn end_all(tx: &mut Tx, operator: OperatorId, keep: Option<&Token>) -> sqlx::Result<()> {
    sqlx::query(
        "delete from directory.sessions
          where operator_id = $1 and tenant_id = $2
            and ($3::bytea is null or token_digest <> $3)",
    )
    .bind(operator)
    .bind(tx.tenant())
    .bind(keep.map(Token::digest))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_nothing_else_does() {
        let (token, text) = Token::new(&Entropy::seeded(1));
        assert_eq!(Token::parse(&text), Some(token));
        for wrong in ["", "abc", &text[1..], &format!("{}!", &text[1..])] {
            assert_eq!(Token::parse(wrong), None);
        }
    }

    #[test]
    fn a_trial_that_ended_is_expired_before_anybody_writes_it_down() {
        let now = Timestamp::from_secs(1000);
        let standing = |status, trial, subscription| Standing::of(status, trial, subscription, now);
        assert_eq!(standing("TRIAL", Some(now), None), Standing::Expired);
        assert_eq!(
            standing("TRIAL", Some(now.plus(LIFETIME)), None),
            Standing::Good
        );
        assert_eq!(standing("ACTIVE", Some(now), None), Standing::Good);
        assert_eq!(standing("ACTIVE", None, Some(now)), Standing::Expired);
        assert_eq!(standing("SUSPENDED", None, None), Standing::Suspended);
    }
}
