//! The console's sessions: an access token for ten minutes and a refresh token that is replaced at each use.
//!
//! A refresh token that comes back after its successor was used was stolen, by whoever shows it or from him:
//! all that came of that signing-in ends. Until then the answer with the successor may be lost, so the same
//! browser is given the same one again; and for ten seconds whatever happens, since two tabs may ask at once.
//! Successors are made of the token by a key that is in no database, which is why they can be given twice and
//! only digests are kept.
//!
//! Nobody keeps a copied token for longer than he would by taking it: the copy dies with the first use of the
//! successor. Thief and owner may both be given that one, and then whoever is second to show it, after the first
//! used what came of it, ends it for both: wherever both go on, they meet.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{OperatorId, SignInId, TenantId};
use easyisp_shared::time::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::origin::{ORIGIN, Origin};
use super::sessions::{OVERLAP, Token};
use super::store::{self, AccountRow, HeldRefresh};
use super::{Operator, Permission, effective};
use crate::audit::{self, Action, Actor, Audit};
use crate::db::{Database, Tx};
use crate::error::ApiError;
use crate::secrets::Secrets;

/// How long an access token is good for.
const ACCESS: Duration = Duration::from_secs(10 * 60);
/// How long a refresh token is good for that nobody uses.
const REFRESH: Duration = Duration::from_secs(14 * 86_400);
/// The end of a signing-in, however much it is used.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);
/// The same for who handles money, and for the platform's people.
const LONGEST_WITH_MONEY: Duration = Duration::from_secs(12 * 3600);
/// And how long theirs lasts unused.
const IDLE_WITH_MONEY: Duration = Duration::from_secs(30 * 60);
/// What makes somebody handle money.
const MONEY: [Permission; 4] = [
    Permission::PaymentsProcess,
    Permission::FinanceIncomeCreate,
    Permission::FinanceExpensesCreate,
    Permission::SettingsPaymentGateway,
];

/// What a browser keeps.
pub struct Pair {
    /// For the API.
    pub access: String,
    /// Until when.
    pub access_ends: Timestamp,
    /// For the next pair.
    pub refresh: String,
    /// Until when, if nobody uses it.
    pub refresh_ends: Timestamp,
}

/// A refresh token.
pub struct Refresh(Zeroizing<[u8; 32]>);

impl Refresh {
    fn new(entropy: &Entropy) -> Refresh {
        Refresh(Zeroizing::new(entropy.bytes()))
    }

    /// Reads what a browser sent; `None` when it is none of ours.
    pub fn parse(text: &str) -> Option<Refresh> {
        Token::parse(text)?;
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
        Some(Refresh(Zeroizing::new(bytes.as_slice().try_into().ok()?)))
    }

    fn token(&self) -> Token {
        Token::of(self.0.as_slice())
    }

    fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.as_slice())
    }

    fn successor(&self, secrets: &Secrets) -> Refresh {
        Refresh(self.made(secrets, "console refresh token 1"))
    }

    fn access(&self, secrets: &Secrets) -> Refresh {
        Refresh(self.made(secrets, "console access token 1"))
    }

    fn made(&self, secrets: &Secrets, purpose: &str) -> Zeroizing<[u8; 32]> {
        let key = secrets.derive(purpose);
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_slice())
            .expect("HMAC takes keys of every length");
        mac.update(self.0.as_slice());
        Zeroizing::new(mac.finalize().into_bytes().into())
    }
}

/// Begins a session of the console.
pub async fn begin(
    tx: &mut Tx,
    secrets: &Secrets,
    account: &AccountRow,
    origin: &Origin,
    now: Timestamp,
) -> Result<Pair, ApiError> {
    let platform = store::is_platform(tx, account.id).await?;
    let own = effective(
        account.role,
        &account.added_permissions,
        &account.removed_permissions,
    );
    let (idle, longest) = match platform || own.has_any(&MONEY) {
        true => (Some(IDLE_WITH_MONEY), LONGEST_WITH_MONEY),
        false => (None, LONGEST),
    };
    let ends_at = [Some(now.plus(longest)), account.password_expires_at];
    let ends_at = ends_at.into_iter().flatten().min().unwrap_or(now);
    let family = SignInId::new(now, &tx.entropy());
    let clear = serde_json::to_vec(origin).map_err(ApiError::internal)?;
    let sealed = secrets.tenant(tx).await?.seal(ORIGIN, family.0, &clear);
    let row = store::NewFamilyRow {
        id: family,
        operator: account.id,
        idle,
        ends_at,
        origin_sealed: &sealed,
    };
    store::insert_family(tx, &row, now).await?;
    let refresh = Refresh::new(&tx.entropy());
    hand_out(tx, secrets, account.id, family, &refresh, ends_at, now).await
}

/// Replaces a refresh token; returns whose session it is. 401 when it is unknown, over or was stolen.
pub async fn renew(
    db: &Database,
    secrets: &Secrets,
    shown: &Refresh,
    origin: &Origin,
    now: Timestamp,
) -> Result<(TenantId, AccountRow, Pair), ApiError> {
    let mut directory = db.glance().await?;
    let whose = store::family_of(&mut directory, shown.token().digest()).await?;
    drop(directory);
    let (tenant, operator) = whose.ok_or(ApiError::Unauthorized)?;
    let mut tx = db.begin(tenant).await?;
    // Whoever ends this operator's sessions waits, or has been here.
    store::lock_account(&mut tx, operator).await?;
    let held = store::lock_refresh(&mut tx, shown.token().digest()).await?;
    let held = held.ok_or(ApiError::Unauthorized)?;
    let account = store::account(&mut tx, operator).await?;
    let account = account.ok_or(ApiError::Unauthorized)?;

    super::sessions::may_sign_in(&account, now)?;

    let known = secrets.tenant(&mut tx).await?;
    let known = known.open(ORIGIN, held.family.0, &held.origin_sealed).ok();
    let known = known.and_then(|clear| serde_json::from_slice::<Origin>(&clear).ok());
    let same_browser = known.is_some_and(|known| known.client == origin.client);
    let successor = shown.successor(secrets);
    let used = match held.replaced_at {
        Some(_) => store::refresh_used(&mut tx, successor.token().digest()).await?,
        None => false,
    };
    let (family, ends) = (held.family, held.ends_at);
    let pair = match next(&held, same_browser, used, now) {
        Next::Replace => {
            store::replace_refresh(&mut tx, shown.token().digest(), now).await?;
            hand_out(&mut tx, secrets, operator, family, &successor, ends, now).await?
        }
        Next::Repeat => {
            let since = held.replaced_at.unwrap_or(now);
            pair(&successor, secrets, since, ends)
        }
        Next::Again => hand_out(&mut tx, secrets, operator, family, &successor, ends, now).await?,
        Next::Over => {
            store::delete_family(&mut tx, held.family).await?;
            tx.commit().await?;
            return Err(ApiError::Unauthorized);
        }
        Next::Stolen => {
            store::delete_family(&mut tx, held.family).await?;
            let actor = Actor::person(account.id, &account.name, origin.address);
            let line = Audit {
                details: "A refresh token came back after it was replaced; the session has ended"
                    .into(),
                ..Audit::new(Action::SessionStolen, "operator", account.id, &account.name)
            };
            audit::record(&mut tx, &actor, line, now).await?;
            tx.commit().await?;
            tracing::warn!(operator.id = %operator, "A refresh token of operator {operator} was used twice");
            return Err(ApiError::Unauthorized);
        }
    };
    tx.commit().await?;
    Ok((tenant, account, pair))
}

/// What a refresh token that is shown leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    /// Another one.
    Replace,
    /// The same that it led to a moment ago.
    Repeat,
    /// The same that it led to before, good from now on: nobody used it, so the answer was lost.
    Again,
    /// The end: too old, or too long unused.
    Over,
    /// The end: what it led to was used before.
    Stolen,
}

/// `used` = whether its successor was, or the access token that goes with that.
fn next(held: &HeldRefresh, same_browser: bool, used: bool, now: Timestamp) -> Next {
    let idle = held.idle.is_some_and(|idle| held.seen_at.plus(idle) <= now);
    let over = held.expires_at <= now || held.ends_at <= now || idle;
    match held.replaced_at {
        Some(at) if same_browser && now.since(at) <= OVERLAP => Next::Repeat,
        Some(_) if used || !same_browser => Next::Stolen,
        Some(_) | None if over => Next::Over,
        Some(_) => Next::Again,
        None => Next::Replace,
    }
}

/// Stores a refresh token and the access token that goes with it, or lets both be good from now on.
async fn hand_out(
    tx: &mut Tx,
    secrets: &Secrets,
    operator: OperatorId,
    family: SignInId,
    refresh: &Refresh,
    ends_at: Timestamp,
    now: Timestamp,
) -> Result<Pair, ApiError> {
    let pair = pair(refresh, secrets, now, ends_at);
    let digest = refresh.token();
    store::keep_refresh(tx, family, digest.digest(), pair.refresh_ends).await?;
    let access = refresh.access(secrets).token();
    let tokens = (access.digest(), digest.digest());
    store::keep_access(tx, (operator, family), tokens, now, pair.access_ends).await?;
    Ok(pair)
}

fn pair(refresh: &Refresh, secrets: &Secrets, since: Timestamp, ends_at: Timestamp) -> Pair {
    Pair {
        access: refresh.access(secrets).text(),
        access_ends: since.plus(ACCESS).min(ends_at),
        refresh: refresh.text(),
        refresh_ends: since.plus(REFRESH).min(ends_at),
    }
}

/// Ends the session of a refresh token, whatever it is still good for.
pub async fn leave(
    db: &Database,
    shown: &Refresh,
    origin: &Origin,
    now: Timestamp,
) -> Result<(), ApiError> {
    let mut directory = db.glance().await?;
    let whose = store::family_of(&mut directory, shown.token().digest()).await?;
    drop(directory);
    let Some((tenant, operator)) = whose else {
        return Ok(());
    };
    let mut tx = db.begin(tenant).await?;
    let held = store::lock_refresh(&mut tx, shown.token().digest()).await?;
    let account = store::account(&mut tx, operator).await?;
    if let (Some(held), Some(account)) = (held, account) {
        store::delete_family(&mut tx, held.family).await?;
        let actor = Actor::person(account.id, &account.name, origin.address);
        let line = Audit::new(Action::Logout, "operator", account.id, &account.name);
        audit::record(&mut tx, &actor, line, now).await?;
    }
    Ok(tx.commit().await?)
}

/// Ends the session that an operator is in, with everything that came of its signing-in.
pub async fn end(tx: &mut Tx, operator: &Operator) -> sqlx::Result<()> {
    match operator.family {
        Some(family) => store::delete_family(tx, family).await,
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(1_000_000 + secs)
    }

    fn held(replaced: Option<i64>) -> HeldRefresh {
        HeldRefresh {
            family: SignInId(uuid::Uuid::nil()),
            idle: Some(IDLE_WITH_MONEY),
            seen_at: at(0),
            ends_at: at(43_200),
            expires_at: at(40_000),
            origin_sealed: Vec::new(),
            replaced_at: replaced.map(at),
        }
    }

    #[test]
    fn a_token_leads_to_one_successor_and_ends_everything_when_it_comes_back() {
        assert_eq!(next(&held(None), true, false, at(600)), Next::Replace);
        assert_eq!(next(&held(None), false, false, at(600)), Next::Replace);
        assert_eq!(next(&held(Some(600)), true, true, at(610)), Next::Repeat);
        assert_eq!(next(&held(Some(600)), false, true, at(601)), Next::Stolen);
        assert_eq!(next(&held(Some(600)), true, true, at(611)), Next::Stolen);
    }

    #[test]
    fn until_its_successor_is_used_it_leads_to_it_again() {
        assert_eq!(next(&held(Some(600)), true, false, at(611)), Next::Again);
        assert_eq!(next(&held(Some(600)), true, false, at(1799)), Next::Again);
        assert_eq!(next(&held(Some(600)), false, false, at(611)), Next::Stolen);
        assert_eq!(next(&held(Some(600)), true, false, at(1800)), Next::Over);
    }

    #[test]
    fn who_handles_money_is_signed_out_after_half_an_hour_of_nothing() {
        assert_eq!(next(&held(None), true, false, at(1799)), Next::Replace);
        assert_eq!(next(&held(None), true, false, at(1800)), Next::Over);
        let relaxed = HeldRefresh {
            idle: None,
            ..held(None)
        };
        assert_eq!(next(&relaxed, true, false, at(39_999)), Next::Replace);
        assert_eq!(next(&relaxed, true, false, at(40_000)), Next::Over);
    }
}
