//! Bearer tokens: 32 random bytes, of which only the digest is stored.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{OperatorId, SignInId, TenantId};
use easyisp_shared::time::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::origin::{ORIGIN, Origin};
use super::{Operator, Via, keys, store};
use crate::db::{Database, Tx};
use crate::error::ApiError;
use crate::permission::{Permission, PermissionSet, Role, effective};
use crate::secrets::Secrets;

/// How long a token is good for.
pub const LIFETIME: Duration = Duration::from_secs(7 * 86_400);
/// How long somebody of the platform may be inside a tenant.
const VISIT: Duration = Duration::from_secs(30 * 60);
/// How often it is noted that a token was used.
const NOTED: Duration = Duration::from_secs(300);
/// How long a replaced token stays good.
pub(super) const OVERLAP: Duration = Duration::from_secs(10);

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

    pub(super) fn of(bytes: &[u8]) -> Token {
        Token(Sha256::digest(bytes).into())
    }

    /// What is stored of it.
    pub fn digest(&self) -> &[u8] {
        &self.0
    }
}

/// What a session is called where its owner sees it: half of the digest, from which nothing follows.
pub fn id_of(digest: &[u8]) -> SignInId {
    let half = digest.first_chunk().copied().unwrap_or_default();
    SignInId(uuid::Uuid::from_bytes(half))
}

/// The session that asks; 403 for who has none (an API key).
impl<S: Send + Sync> FromRequestParts<S> for Token {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Token, ApiError> {
        if let Some(operator) = parts.extensions.get::<Operator>()
            && let Via::Key(_) = operator.via
        {
            operator.in_person()?;
        }
        let token = parts.extensions.get::<Token>();
        token.copied().ok_or(ApiError::Unauthorized)
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
    row: store::CallerRow,
    standing: Standing,
    /// The key he calls with.
    key: Option<store::KeyRow>,
    /// Whether he is the platform's and the tenant is not his.
    visits: bool,
    /// The signing-in at the console that his token came of.
    family: Option<SignInId>,
    /// When he showed his password last.
    proved_at: Option<Timestamp>,
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

/// What decides how a tenant stands.
#[derive(Clone, Copy, Debug)]
pub struct StandingRow {
    /// The stored status.
    pub status: TenantStatus,
    /// When the trial ends.
    pub trial_ends_at: Option<Timestamp>,
    /// When what the tenant paid the platform ends; `None` = never.
    pub subscription_ends_at: Option<Timestamp>,
}

impl StandingRow {
    /// How the tenant stands: an end that has passed counts before anybody writes it down.
    pub fn at(&self, now: Timestamp) -> Standing {
        let past = |end: Option<Timestamp>| end.is_some_and(|end| end <= now);
        match self.status {
            TenantStatus::Suspended => Standing::Suspended,
            TenantStatus::Trial if !past(self.trial_ends_at) => Standing::Good,
            TenantStatus::Active if !past(self.subscription_ends_at) => Standing::Good,
            TenantStatus::Trial | TenantStatus::Active | TenantStatus::Expired => Standing::Expired,
        }
    }
}

/// A tenant's status as stored.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "UPPERCASE")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum TenantStatus {
    /// Trying it out.
    Trial,
    /// Subscribed.
    Active,
    /// Stopped by the platform.
    Suspended,
    /// The trial or the subscription has ended.
    Expired,
}

impl Caller {
    pub(super) fn of_key(
        tenant: TenantId,
        row: store::CallerRow,
        key: store::KeyRow,
        now: Timestamp,
    ) -> Caller {
        Caller {
            tenant,
            operator: key.operator_id,
            platform: false,
            standing: row.standing.at(now),
            row,
            key: Some(key),
            visits: false,
            family: None,
            proved_at: None,
        }
    }

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
        let own = effective(row.role, &row.added_permissions, &row.removed_permissions);
        let (via, permissions, name) = match self.key {
            None if self.visits => {
                let name = format!("{} (platform)", row.name);
                (Via::Visit, of_visitor(), name)
            }
            None if self.family.is_some() => (Via::Console, own, row.name),
            None => (Via::Session, own, row.name),
            Some(key) => (
                Via::Key(key.id),
                part_of(own, &key.permissions),
                format!("{} (API key {})", row.name, key.name),
            ),
        };
        Operator {
            tenant: self.tenant,
            id: self.operator,
            permissions,
            name,
            email: row.email,
            role: row.role,
            platform: self.platform,
            via,
            family: self.family,
            proved_at: self.proved_at,
            address,
            request_id,
        }
    }
}

/// What somebody of the platform may inside a tenant: what its owner may, but nothing by which he would be
/// there after his time.
fn of_visitor() -> PermissionSet {
    keys::NEVER
        .into_iter()
        .fold(Role::SuperAdmin.defaults(), PermissionSet::without)
}

/// What a key may: what it was made for, of what its operator may.
fn part_of(own: PermissionSet, names: &[String]) -> PermissionSet {
    names
        .iter()
        .filter_map(|name| Permission::parse(name))
        .filter(|permission| own.has(*permission) && !keys::NEVER.contains(permission))
        .collect()
}

/// 403 for who may not sign in though his password is right, with the reason.
pub(super) fn may_sign_in(account: &store::AccountRow, now: Timestamp) -> Result<(), ApiError> {
    if !account.active {
        return Err(ApiError::forbidden(
            "OPERATOR_DISABLED",
            "Your access was switched off; ask the account's owner",
        ));
    }
    if account.password_expires_at.is_some_and(|end| end <= now) {
        return Err(ApiError::forbidden(
            "PASSWORD_EXPIRED",
            "This temporary password was good for three days; ask for another one",
        ));
    }
    match account.standing.at(now) {
        Standing::Good => Ok(()),
        Standing::Expired if account.role == Role::SuperAdmin => Ok(()),
        Standing::Expired => Err(expired()),
        Standing::Suspended => Err(suspended()),
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

/// How a token came with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShownIn {
    /// `Authorization: Bearer …`
    Header,
    /// The console's.
    Cookie,
}

/// Who holds this token now. `None` when it is unknown or expired, came in the other way than it was given out,
/// or its operator may not sign in.
///
/// Two indexed queries, read live: what changes about an operator or his tenant counts from the next request.
pub async fn caller(
    db: &Database,
    (token, shown): (&Token, ShownIn),
    now: Timestamp,
) -> sqlx::Result<Option<Caller>> {
    let mut directory = db.glance().await?;
    let session = store::session(&mut directory, token.digest(), now).await?;
    let session = session.filter(|session| session.family.is_some() == (shown == ShownIn::Cookie));
    let Some(session) = session else {
        return Ok(None);
    };
    if session.first_use || session.seen_at.plus(NOTED) <= now {
        store::touch_session(&mut directory, token.digest(), now).await?;
    }
    drop(directory);
    let (tenant, operator) = (session.tenant_id, session.operator_id);
    let visits = session.home_tenant_id.is_some();
    if visits && !session.platform {
        return Ok(None);
    }
    let mut tx = db.begin(session.home_tenant_id.unwrap_or(tenant)).await?;
    let row = store::active_operator(&mut tx, operator).await?;
    Ok(row.map(|row| Caller {
        tenant,
        operator,
        platform: session.platform,
        standing: row.standing.at(now),
        row,
        key: None,
        visits,
        family: session.family,
        proved_at: session.proved_at,
    }))
}

/// By what somebody is known to be signed in still.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignedIn {
    operator: OperatorId,
    how: How,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    /// A bearer token.
    Token(Token),
    /// A signing-in at the console, whose tokens change every few minutes.
    Console(SignInId),
}

impl SignedIn {
    /// Who asks now, with this token.
    pub fn of(operator: &Operator, token: Token) -> SignedIn {
        SignedIn {
            operator: operator.id,
            how: operator.family.map_or(How::Token(token), How::Console),
        }
    }
}

/// What somebody may who was signed in to his own account; `None` once he signed out, was switched off, or his account
/// is not in good standing.
pub async fn still(
    db: &Database,
    tenant: TenantId,
    who: &SignedIn,
    now: Timestamp,
) -> sqlx::Result<Option<PermissionSet>> {
    let mut directory = db.glance().await?;
    let is_there = match &who.how {
        How::Token(token) => store::session(&mut directory, token.digest(), now)
            .await?
            .is_some(),
        How::Console(family) => store::is_family(&mut directory, *family, now).await?,
    };
    drop(directory);
    if !is_there {
        return Ok(None);
    }
    let mut tx = db.begin(tenant).await?;
    let row = store::active_operator(&mut tx, who.operator).await?;
    let row = row.filter(|row| row.standing.at(now) == Standing::Good);
    Ok(row.map(|row| effective(row.role, &row.added_permissions, &row.removed_permissions)))
}

/// Stores a new token of an operator, who showed his password at `proved_at`, and returns its text.
pub async fn begin(
    tx: &mut Tx,
    secrets: &Secrets,
    (operator, proved_at): (OperatorId, Option<Timestamp>),
    origin: &Origin,
    now: Timestamp,
) -> Result<String, ApiError> {
    let (token, text) = Token::new(&tx.entropy());
    let ends = now.plus(LIFETIME);
    // A password that somebody else was told lets nobody stay longer than it is good.
    let password_ends = store::password_expires_at(tx, operator).await?;
    let ends = password_ends.map_or(ends, |end| end.min(ends));
    let whose = Whose {
        operator,
        home: None,
        proved_at,
    };
    store_token(tx, secrets, whose, &token, origin, (now, ends)).await?;
    Ok(text)
}

/// Stores a token with which somebody of the platform acts inside the transaction's tenant; returns its text
/// and its end.
pub async fn begin_visit(
    tx: &mut Tx,
    secrets: &Secrets,
    visitor: &Operator,
    origin: &Origin,
    now: Timestamp,
) -> Result<(String, Timestamp), ApiError> {
    let (token, text) = Token::new(&tx.entropy());
    let ends = now.plus(VISIT);
    let whose = Whose {
        operator: visitor.id,
        home: Some(visitor.tenant),
        proved_at: None,
    };
    store_token(tx, secrets, whose, &token, origin, (now, ends)).await?;
    Ok((text, ends))
}

struct Whose {
    operator: OperatorId,
    /// Where his account is, when that is another tenant.
    home: Option<TenantId>,
    proved_at: Option<Timestamp>,
}

async fn store_token(
    tx: &mut Tx,
    secrets: &Secrets,
    whose: Whose,
    token: &Token,
    origin: &Origin,
    (now, expires_at): (Timestamp, Timestamp),
) -> Result<(), ApiError> {
    let clear = serde_json::to_vec(origin).map_err(ApiError::internal)?;
    let key = secrets.tenant(tx).await?;
    let sealed = key.seal(ORIGIN, id_of(token.digest()).0, &clear);
    let row = store::NewSessionRow {
        operator: whose.operator,
        home: whose.home,
        digest: token.digest(),
        origin_sealed: &sealed,
        expires_at,
        proved_at: whose.proved_at,
    };
    store::insert_session(tx, &row, now).await?;
    Ok(())
}

/// Replaces a token by a new one; `None` when it was ended meanwhile. The old one is good for ten more
/// seconds: two tabs may ask at once.
pub async fn replace(
    tx: &mut Tx,
    secrets: &Secrets,
    (operator, proved_at): (OperatorId, Option<Timestamp>),
    old: &Token,
    origin: &Origin,
    now: Timestamp,
) -> Result<Option<String>, ApiError> {
    store::lock_account(tx, operator).await?;
    if !store::shorten_session(tx, old.digest(), now.plus(OVERLAP)).await? {
        return Ok(None);
    }
    begin(tx, secrets, (operator, proved_at), origin, now)
        .await
        .map(Some)
}

/// Ends every token of the transaction's tenant.
pub async fn end_tenant(tx: &mut Tx) -> sqlx::Result<()> {
    store::delete_tenants_sessions(tx).await
}

/// Ends one token.
pub async fn end(tx: &mut Tx, token: &Token) -> sqlx::Result<()> {
    store::delete_session(tx, token.digest()).await
}

/// Ends every token of an operator but `keep`: his password, role or standing changed. The transaction has
/// written that to his row before, which makes sessions that are being begun wait, and then fail.
pub async fn end_all(tx: &mut Tx, operator: OperatorId, keep: Option<&Token>) -> sqlx::Result<()> {
    store::delete_sessions(tx, operator, keep.map(Token::digest)).await
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
        let standing = |status, trial_ends_at, subscription_ends_at| {
            let row = StandingRow {
                status,
                trial_ends_at,
                subscription_ends_at,
            };
            row.at(now)
        };
        use TenantStatus::*;
        assert_eq!(standing(Trial, Some(now), None), Standing::Expired);
        assert_eq!(
            standing(Trial, Some(now.plus(LIFETIME)), None),
            Standing::Good
        );
        assert_eq!(standing(Active, Some(now), None), Standing::Good);
        assert_eq!(standing(Active, None, Some(now)), Standing::Expired);
        assert_eq!(standing(Suspended, None, None), Standing::Suspended);
    }
}
