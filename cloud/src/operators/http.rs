//! `/api/tenant/operators`.

pub mod access;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use easyisp_shared::id::OperatorId;
use easyisp_shared::time::{Clock, Timestamp};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::rules::{self, Change, Draft, MOST, Refused, Rights};
use super::store::{self, By, Stored};
use super::words::Status;
use crate::api::{Idempotency, Json, Page, Path, Query, Sort, Success, Version, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::{self, Email, NewOperator, Operator, Permission, Role, SignIn};
use crate::db::{Database, Tx, like};
use crate::error::{ApiError, ErrorEnvelope};

/// One of the tenant's people.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TenantOperator)]
pub struct Person {
    id: OperatorId,
    name: String,
    email: String,
    phone: Option<String>,
    role: Role,
    status: Status,
    /// Permissions beyond the role's.
    added_permissions: Vec<String>,
    /// Permissions that the role has and he has not.
    removed_permissions: Vec<String>,
    created_at: Timestamp,
}

impl From<Stored> for Person {
    fn from(stored: Stored) -> Person {
        Person {
            id: stored.id,
            name: stored.name,
            email: stored.email,
            phone: stored.phone,
            role: stored.rights.role,
            status: stored.rights.status,
            added_permissions: stored.rights.added,
            removed_permissions: stored.rights.removed,
            created_at: stored.created_at,
        }
    }
}

/// Some of the tenant's people.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct People {
    operators: Vec<Person>,
    total: i64,
    page: u32,
    page_size: u32,
}

/// Which people.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct ListQuery {
    /// Part of a name or an e-mail address.
    search: Option<String>,
}

/// A new operator.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewPerson {
    /// 2 to 100 characters.
    #[serde(default, deserialize_with = "blank::option")]
    name: Option<String>,
    /// How he signs in.
    #[serde(default, deserialize_with = "blank::option")]
    email: Option<String>,
    /// 12 to 128 characters; he changes it himself.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// `ADMIN`, `CUSTOMER_CARE`, `FIELD_TECH`, `STAFF` or `VIEWER`.
    #[serde(default, deserialize_with = "blank::option")]
    role: Option<Role>,
    /// Free text.
    #[serde(default, deserialize_with = "blank::option")]
    phone: Option<String>,
    /// Names of permissions beyond the role's.
    #[serde(default, deserialize_with = "blank::option")]
    added_permissions: Option<Vec<String>>,
    /// Names of permissions that the role has and he has not.
    #[serde(default, deserialize_with = "blank::option")]
    removed_permissions: Option<Vec<String>>,
}

/// A change of an operator; what is absent or empty stays, but `phone` and the lists can be emptied.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PersonChange {
    /// 2 to 100 characters.
    #[serde(default, deserialize_with = "blank::option")]
    name: Option<String>,
    /// How he signs in.
    #[serde(default, deserialize_with = "blank::option")]
    email: Option<String>,
    /// Free text.
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<String>)]
    phone: Option<Option<String>>,
    /// What he is; not above the caller's own.
    #[serde(default, deserialize_with = "blank::option")]
    role: Option<Role>,
    /// Anything but `ACTIVE` signs him out at once.
    #[serde(default, deserialize_with = "blank::option")]
    status: Option<Status>,
    /// All names of permissions beyond the role's.
    #[serde(default, deserialize_with = "blank::option")]
    added_permissions: Option<Vec<String>>,
    /// All names of permissions that the role has and he has not; these win.
    #[serde(default, deserialize_with = "blank::option")]
    removed_permissions: Option<Vec<String>>,
}

/// `GET /api/tenant/operators`: the tenant's people, its owner among them, as they were entered or sorted
/// as asked.
#[utoipa::path(get, path = "/api/tenant/operators", tag = "Operators",
    params(ListQuery, Sort<By>, ("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query)),
    responses((status = 200, body = People)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    page: Page,
    sort: Sort<By>,
    Query(query): Query<ListQuery>,
) -> Result<Json<People>, ApiError> {
    let wanted = like(&query.search.unwrap_or_default());
    let mut tx = db.begin(operator.tenant).await?;
    let total = store::count(&mut tx, &wanted).await?;
    let rows = store::list(&mut tx, &wanted, sort, page.limit(), page.offset()).await?;
    Ok(Json(People {
        operators: rows.into_iter().map(Person::from).collect(),
        total,
        page: page.number,
        page_size: page.size,
    }))
}

/// `POST /api/tenant/operators`: a new operator, who may sign in at once with this password.
///
/// Errors: 400 naming the fields, 403 `ABOVE_YOU` and `BEYOND_YOURS` (nobody hands out what he lacks), 409
/// `EMAIL_TAKEN`, 409 `TOO_MANY_OPERATORS` over 500.
#[utoipa::path(post, path = "/api/tenant/operators", tag = "Operators", request_body = NewPerson,
    responses((status = 201, body = Person),
        (status = 409, description = "The e-mail address has an account", body = ErrorEnvelope)))]
pub async fn create(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(sign_in): State<SignIn>,
    mut idempotency: Idempotency,
    Json(request): Json<NewPerson>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let change = Change {
        name: request.name,
        email: request.email,
        phone: request.phone.map(Some),
        role: request.role,
        status: None,
        added: request.added_permissions,
        removed: request.removed_permissions,
    };
    let draft = rules::draft(&change, None).map_err(ApiError::fields)?;
    may_create(&operator, &draft)?;
    let hash = sign_in
        .new_password("password", &request.password, &draft.email)
        .await?;

    let mut tx = db.begin(operator.tenant).await?;
    let operator = still(&mut tx, operator, &[Permission::OperatorsAdd], now).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    may_create(&operator, &draft)?;
    if store::count(&mut tx, "%").await? >= MOST {
        let what = format!("There are {MOST} operators already; delete one who left");
        return Err(ApiError::conflict("TOO_MANY_OPERATORS", what));
    }
    let new = NewOperator {
        name: &draft.name,
        email: &draft.email,
        phone: draft.phone.as_deref(),
        role: draft.rights.role,
        password_hash: &hash,
        added_permissions: &draft.rights.added,
        removed_permissions: &draft.rights.removed,
    };
    let id = auth::create_operator(&mut tx, &new, now).await?;
    let line = Audit {
        after: Some(facts(&draft)),
        ..Audit::new(Action::OperatorCreate, "operator", id, &draft.name)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    let body = Person::from(find(&mut tx, id).await?);
    let answer = idempotency
        .finish(&mut tx, StatusCode::CREATED, &body)
        .await?;
    tx.commit().await?;
    Ok(answer)
}

/// `GET /api/tenant/operators/{operator}`: one of the tenant's people; the `ETag` names this version.
#[utoipa::path(get, path = "/api/tenant/operators/{operator}", tag = "Operators",
    params(("operator" = OperatorId, Path)), responses((status = 200, body = Person)))]
pub async fn get(
    operator: Operator,
    State(db): State<Database>,
    Path(person): Path<OperatorId>,
) -> Result<Response, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    Ok(answer(find(&mut tx, person).await?))
}

/// `PUT /api/tenant/operators/{operator}`: changes what is mentioned. A change counts from the next request;
/// who loses something is signed out as well.
///
/// With `If-Match` only that version is changed, else 412. Roles and permissions need the permission
/// `operators:manage_permissions`. Errors: 400 naming the fields, 403 `OWN_RIGHTS`, `ABOVE_YOU`,
/// `BEYOND_YOURS`, `PLATFORM_PERSON`, 404, 409 `EMAIL_TAKEN`, 409 `LAST_OWNER`. Who is the platform's and is made
/// less than an owner who can sign in is the platform's no more.
#[utoipa::path(put, path = "/api/tenant/operators/{operator}", tag = "Operators",
    params(("operator" = OperatorId, Path)), request_body = PersonChange,
    responses((status = 200, body = Person),
        (status = 409, description = "The e-mail address has an account"),
        (status = 412, description = "If-Match names an earlier version")))]
pub async fn update(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(person): Path<OperatorId>,
    headers: HeaderMap,
    Json(request): Json<PersonChange>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let change = Change {
        name: request.name,
        email: request.email,
        phone: request.phone,
        role: request.role,
        status: request.status,
        added: request.added_permissions,
        removed: request.removed_permissions,
    };
    let mut tx = db.begin(operator.tenant).await?;
    let permissions = [
        Permission::OperatorsEdit,
        Permission::OperatorsManagePermissions,
    ];
    let operator = still(&mut tx, operator, &permissions, now).await?;
    let stored = find(&mut tx, person).await?;
    Version(stored.version).is_meant(&headers)?;
    let before = as_draft(&stored)?;
    let draft = rules::draft(&change, Some(&before)).map_err(ApiError::fields)?;
    let platform = touch(&mut tx, &operator, person).await?;
    may_update(&operator, person, &before, &draft)?;
    if before.rights.owns() && !draft.rights.owns() {
        keep_an_owner(&mut tx, person).await?;
    }

    store::update(&mut tx, person, &draft, now).await?;
    if before.email != draft.email {
        auth::move_login(&mut tx, person, &draft.email).await?;
    }
    let loses = before.rights.lose(&draft.rights);
    if loses {
        auth::sessions::end_all(&mut tx, person, None).await?;
    }
    let leaves = platform && !draft.rights.owns();
    if leaves {
        auth::end_platform(&mut tx, person).await?;
    }
    let details = match (leaves, loses) {
        (true, _) => "Signed out everywhere, and no person of the platform any more",
        (false, true) => "Signed out everywhere",
        (false, false) => "",
    };
    let line = Audit {
        details: details.to_owned(),
        before: Some(facts(&before)),
        after: Some(facts(&draft)),
        ..Audit::new(Action::OperatorUpdate, "operator", person, &draft.name)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    let changed = find(&mut tx, person).await?;
    tx.commit().await?;
    Ok(answer(changed))
}

/// `DELETE /api/tenant/operators/{operator}`: he is out at once, and his e-mail address is free; what he did
/// stays in the trail. Errors: 400 `YOURSELF`, 403 `ABOVE_YOU`, `PLATFORM_PERSON`, 404, 409 `LAST_OWNER`.
#[utoipa::path(delete, path = "/api/tenant/operators/{operator}", tag = "Operators",
    params(("operator" = OperatorId, Path)), responses((status = 200, body = Success)))]
pub async fn delete(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(person): Path<OperatorId>,
) -> Result<Json<Success>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let operator = still(&mut tx, operator, &[Permission::OperatorsDelete], now).await?;
    let stored = find(&mut tx, person).await?;
    if person == operator.id {
        return Err(ApiError::bad_request(
            "YOURSELF",
            "Nobody deletes himself; ask another owner or administrator",
        ));
    }
    let gone = Rights {
        status: Status::Disabled,
        ..stored.rights.clone()
    };
    touch(&mut tx, &operator, person).await?;
    rules::may_change(&operator, person, Some(&stored.rights), &gone)?;
    if stored.rights.owns() {
        keep_an_owner(&mut tx, person).await?;
    }
    store::delete(&mut tx, person, now).await?;
    auth::forget_login(&mut tx, person).await?;
    let line = Audit {
        before: Some(facts(&as_draft(&stored)?)),
        ..Audit::new(Action::OperatorDelete, "operator", person, &stored.name)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    Ok(Json(Success::YES))
}

/// Waits for whoever changes the list and reads there what the asker is by now: his request was admitted
/// before its body had come, and he may have been shown out since. 401 when he may not sign in, 403 with none
/// of `wanted`, and at the console for who did not show his password lately.
async fn still(
    tx: &mut Tx,
    asker: Operator,
    wanted: &[Permission],
    now: Timestamp,
) -> Result<Operator, ApiError> {
    asker.in_person()?;
    asker.fresh_in_console(now)?;
    store::lock_list(tx).await?;
    let stored = store::find(tx, asker.id).await?;
    let rights = stored.map(|stored| stored.rights);
    let rights = rights.filter(|rights| rights.status == Status::Active);
    let rights = rights.ok_or(ApiError::Unauthorized)?;
    let asker = Operator {
        platform: asker.platform && auth::is_platform(tx, asker.id).await?,
        role: rights.role,
        permissions: rights.effective(),
        ..asker
    };
    asker.require_any(wanted)?;
    Ok(asker)
}

fn may_create(operator: &Operator, draft: &Draft) -> Result<(), ApiError> {
    let nobody = OperatorId(uuid::Uuid::nil());
    rules::may_change(operator, nobody, None, &draft.rights)?;
    if !(draft.rights.added.is_empty() && draft.rights.removed.is_empty()) {
        operator.require(Permission::OperatorsManagePermissions)?;
    }
    Ok(())
}

fn may_update(
    operator: &Operator,
    person: OperatorId,
    before: &Draft,
    after: &Draft,
) -> Result<(), ApiError> {
    rules::may_change(operator, person, Some(&before.rights), &after.rights)?;
    let (was, is) = (&before.rights, &after.rights);
    if (was.role, &was.added, &was.removed) != (is.role, &is.added, &is.removed) {
        operator.require(Permission::OperatorsManagePermissions)?;
    }
    let own = operator.id == person;
    if !own && before.email != after.email {
        rules::may_take_over(operator, was)?;
    }
    let plain = |draft: &Draft| (draft.name.clone(), draft.email.clone(), draft.phone.clone());
    if plain(before) != plain(after) || was.status != is.status {
        operator.require(Permission::OperatorsEdit)?;
    }
    Ok(())
}

/// Whether the person holds the platform's right; 403 when he does and the asker may not touch him.
async fn touch(tx: &mut Tx, asker: &Operator, person: OperatorId) -> Result<bool, ApiError> {
    let platform = auth::is_platform(tx, person).await?;
    if platform {
        rules::may_touch_platform(asker)?;
    }
    Ok(platform)
}

async fn keep_an_owner(tx: &mut Tx, but: OperatorId) -> Result<(), ApiError> {
    match store::other_owners(tx, but).await? {
        0 => Err(Refused::LastOwner.into()),
        _ => Ok(()),
    }
}

async fn find(tx: &mut Tx, person: OperatorId) -> Result<Stored, ApiError> {
    let stored = store::find(tx, person).await?;
    stored.ok_or(ApiError::NotFound("operator"))
}

fn as_draft(stored: &Stored) -> Result<Draft, ApiError> {
    let email = Email::parse(&stored.email);
    let email = email
        .ok_or_else(|| ApiError::Internal(anyhow::anyhow!("a stored e-mail address is none")))?;
    Ok(Draft {
        name: stored.name.clone(),
        email,
        phone: stored.phone.clone(),
        rights: stored.rights.clone(),
    })
}

fn answer(stored: Stored) -> Response {
    Version(stored.version).of(Person::from(stored))
}

/// What the trail keeps of an operator.
fn facts(draft: &Draft) -> serde_json::Value {
    json!({
        "name": draft.name,
        "email": draft.email.as_str(),
        "role": draft.rights.role,
        "status": draft.rights.status,
        "addedPermissions": draft.rights.added,
        "removedPermissions": draft.rights.removed,
    })
}
