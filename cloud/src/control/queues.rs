//! `/api/mikrotik/{router}/queues`: simple queues, added, changed and removed by hand.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use easyisp_shared::id::RouterId;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::router::{QueueWishV1, RouterAsk, RouterTold, RowsOf};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::shown::Queue;
use super::{Extent, RowsQuery, ask, other_answer, rows};
use crate::api::{Json, Path, Query, Success, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::{ApiError, Wrong};
use crate::routers;
use crate::sites::Live;

/// The simple queues of a router.
#[derive(Serialize, ToSchema)]
pub struct Queues {
    /// Those made by hand before those of sessions, at most 1000.
    queues: Vec<Queue>,
    #[serde(flatten)]
    extent: Extent,
}

/// What a simple queue shall be.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueRequest {
    /// 1 to 100 characters; once on a router.
    #[serde(default, deserialize_with = "blank::option")]
    name: Option<String>,
    /// Addresses or networks, separated by commas, or the name of one interface.
    #[serde(default, deserialize_with = "blank::option")]
    target: Option<String>,
    /// Up and down: `5M/10M`, `512k/1M`, `5000000/10000000`; 0 is without limit.
    #[serde(default, deserialize_with = "blank::option")]
    max_limit: Option<String>,
    /// While it may burst, up and down; `0/0` is never.
    #[serde(default, deserialize_with = "blank::option")]
    burst_limit: Option<String>,
    /// From which average on it may not; half of `maxLimit` when it is not said.
    #[serde(default, deserialize_with = "blank::option")]
    burst_threshold: Option<String>,
    /// Over how many seconds that is taken, 1 to 600; 8 when it is not said.
    #[serde(default, deserialize_with = "blank::option")]
    #[schema(minimum = 1, maximum = 600)]
    burst_time: Option<u32>,
    #[serde(default, deserialize_with = "blank::option")]
    disabled: Option<bool>,
}

/// `GET /api/mikrotik/{router}/queues`: its simple queues, asked of it now.
///
/// Errors: 422 without an API user, 503 when the site is away, 502 or 504 when the router is.
#[utoipa::path(get, path = "/api/mikrotik/{router}/queues", tag = "Routers",
    params(("router" = RouterId, Path), RowsQuery), responses((status = 200, body = Queues),
        (status = 422, description = "No API user is entered for this router"),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
    Query(query): Query<RowsQuery>,
) -> Result<Json<Queues>, ApiError> {
    let of = (RowsOf::Queues, &query);
    match rows(&db, &live, &operator, router, of, clock.now()).await? {
        (RouterTold::Queues(told), extent) => Ok(Json(Queues {
            queues: told.into_iter().map(Queue::from).collect(),
            extent,
        })),
        _ => Err(other_answer()), // an answer to something else
    }
}

/// `POST /api/mikrotik/{router}/queues`: one more simple queue, as the router made it.
///
/// Errors: 400 naming the fields, 422 when the router refuses (a name it has already) or has no API user,
/// 503 when the site is away, 502 or 504 when the router is: then look at the list before you repeat it.
#[utoipa::path(post, path = "/api/mikrotik/{router}/queues", tag = "Routers",
    params(("router" = RouterId, Path)), request_body = QueueRequest,
    responses((status = 201, body = Queue),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn create(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
    Json(request): Json<QueueRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let hand = Hand::at(&db, &operator, router, now).await?;
    let wish = wish(request, Wanted::New)?;
    let name = wish.name.clone().unwrap_or_default();
    hand.note(Action::RouterQueueCreate, &name, Some(&wish))
        .await?;
    match ask(
        &db,
        &live,
        &operator,
        router,
        RouterAsk::AddQueue(wish),
        now,
    )
    .await?
    {
        RouterTold::Queue(told) => {
            Ok((StatusCode::CREATED, Json(Queue::from(told))).into_response())
        }
        _ => Err(other_answer()), // an answer to something else
    }
}

/// `PUT /api/mikrotik/{router}/queues/{queue}`: changes what is mentioned of a simple queue.
///
/// Errors: 400 naming the fields, 422 when there is no such queue, it belongs to a session, or the router
/// refuses, 503 when the site is away, 502 or 504 when the router is.
#[utoipa::path(put, path = "/api/mikrotik/{router}/queues/{queue}", tag = "Routers",
    params(("router" = RouterId, Path), ("queue" = String, Path, pattern = "^\\*[0-9A-Fa-f]{1,8}$", description = "`*1A`")),
    request_body = QueueRequest, responses((status = 200, body = Queue),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn update(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path((router, queue)): Path<(RouterId, String)>,
    Json(request): Json<QueueRequest>,
) -> Result<Json<Queue>, ApiError> {
    let now = clock.now();
    let hand = Hand::at(&db, &operator, router, now).await?;
    let id = id_of(&queue)?;
    let wish = wish(request, Wanted::Changed)?;
    hand.note(Action::RouterQueueUpdate, &id, Some(&wish))
        .await?;
    let change = RouterAsk::ChangeQueue { id, wish };
    match ask(&db, &live, &operator, router, change, now).await? {
        RouterTold::Queue(told) => Ok(Json(Queue::from(told))),
        _ => Err(other_answer()), // an answer to something else
    }
}

/// `DELETE /api/mikrotik/{router}/queues/{queue}`: removes a simple queue.
///
/// Errors: 422 when there is no such queue, it belongs to a session, or the router refuses, 503 when the site
/// is away, 502 or 504 when the router is.
#[utoipa::path(delete, path = "/api/mikrotik/{router}/queues/{queue}", tag = "Routers",
    params(("router" = RouterId, Path), ("queue" = String, Path, pattern = "^\\*[0-9A-Fa-f]{1,8}$", description = "`*1A`")),
    responses((status = 200, body = Success),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn delete(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path((router, queue)): Path<(RouterId, String)>,
) -> Result<Json<Success>, ApiError> {
    let now = clock.now();
    let hand = Hand::at(&db, &operator, router, now).await?;
    let id = id_of(&queue)?;
    hand.note(Action::RouterQueueDelete, &id, None).await?;
    match ask(
        &db,
        &live,
        &operator,
        router,
        RouterAsk::RemoveQueue { id },
        now,
    )
    .await?
    {
        RouterTold::Done => Ok(Json(Success::YES)),
        _ => Err(other_answer()), // an answer to something else
    }
}

/// Whose hand is at which router.
struct Hand<'a> {
    db: &'a Database,
    operator: &'a Operator,
    router: RouterId,
    name: String,
    now: Timestamp,
}

impl<'a> Hand<'a> {
    async fn at(
        db: &'a Database,
        operator: &'a Operator,
        router: RouterId,
        now: Timestamp,
    ) -> Result<Hand<'a>, ApiError> {
        let mut tx = db.begin(operator.tenant).await?;
        let name = routers::lock_named(&mut tx, router).await?;
        Ok(Hand {
            db,
            operator,
            router,
            name: name.ok_or(ApiError::NotFound("router"))?,
            now,
        })
    }

    /// Writes down what is wanted before it is done: a router that fell silent may have done it.
    async fn note(
        &self,
        action: Action,
        queue: &str,
        wish: Option<&QueueWishV1>,
    ) -> Result<(), ApiError> {
        let mut tx = self.db.begin(self.operator.tenant).await?;
        let audit = Audit {
            details: format!("Queue {queue}"),
            after: wish.map(|wish| {
                json!({ "name": wish.name, "target": wish.target, "maxLimit": wish.max_limit,
                    "burstLimit": wish.burst_limit, "disabled": wish.disabled })
            }),
            ..Audit::new(action, "router", self.router, &self.name)
        };
        audit::record(&mut tx, &Actor::from(self.operator), audit, self.now).await?;
        tx.commit().await?;
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    New,
    Changed,
}

/// RouterOS's ids are `*` and hexadecimal digits.
fn id_of(text: &str) -> Result<String, ApiError> {
    let digits = text.strip_prefix('*').unwrap_or_default();
    let hexadecimal = |c: char| c.is_ascii_hexdigit();
    if (1..=8).contains(&digits.len()) && digits.chars().all(hexadecimal) {
        return Ok(text.to_ascii_uppercase());
    }
    Err(ApiError::field(
        "queue",
        "must be an id from the list, such as *1A",
    ))
}

fn wish(request: QueueRequest, wanted: Wanted) -> Result<QueueWishV1, ApiError> {
    let mut wrong = Wrong::default();
    let word = |wrong: &mut Wrong, field: &str, text: Option<String>, most: usize| {
        let text = text.map(|text| text.trim().to_owned());
        if text.is_none() && wanted == Wanted::New {
            wrong.add(field, "is required");
        }
        let fits = |text: &String| {
            (1..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control)
        };
        if text.as_ref().is_some_and(|text| !fits(text)) {
            wrong.add(field, &format!("must have 1 to {most} characters"));
        }
        text
    };
    let name = word(&mut wrong, "name", request.name, 100);
    let target = word(&mut wrong, "target", request.target, 200);
    if let Some(target) = &target
        && target.contains(',')
        && !target.split(',').all(|one| is_network(one.trim()))
    {
        wrong.add("target", "must be addresses or networks, or one interface");
    }
    let mut limit = |field: &str, text: Option<&String>| {
        let read = text.map(|text| pair(text));
        if read == Some(None) {
            wrong.add(field, "must be up/down such as 5M/10M");
        }
        read.flatten()
    };
    let max_limit = limit("maxLimit", request.max_limit.as_ref());
    let burst_limit = limit("burstLimit", request.burst_limit.as_ref());
    let threshold = limit("burstThreshold", request.burst_threshold.as_ref());
    if wanted == Wanted::New && request.max_limit.is_none() {
        wrong.add(
            "maxLimit",
            "is required, such as 5M/10M; 0/0 is without limit",
        );
    }
    let secs = request.burst_time.unwrap_or(8);
    if !(1..=600).contains(&secs) {
        wrong.add("burstTime", "must be 1 to 600 seconds");
    }
    wrong.none_or(()).map_err(ApiError::fields)?;
    let half = max_limit.map(|(up, down)| (up / 2, down / 2));
    let threshold = threshold.or(burst_limit.and(half));
    Ok(QueueWishV1 {
        name,
        target: target.map(|target| target.replace(' ', "")),
        max_limit,
        burst_limit,
        burst_threshold: threshold.map(|threshold| (threshold, (secs, secs))),
        disabled: request.disabled,
    })
}

fn is_network(text: &str) -> bool {
    text.parse::<IpNet>().is_ok() || text.parse::<std::net::IpAddr>().is_ok()
}

/// `5M/10M`: bits a second, up and down.
fn pair(text: &str) -> Option<(u64, u64)> {
    let (up, down) = text.trim().split_once('/')?;
    let one = |text: &str| {
        let text = text.trim();
        let (digits, factor) = match text.as_bytes().last()? {
            b'k' | b'K' => (&text[..text.len() - 1], 1000),
            b'm' | b'M' => (&text[..text.len() - 1], 1_000_000),
            b'g' | b'G' => (&text[..text.len() - 1], 1_000_000_000),
            _ => (text, 1), // a plain number, or nothing that is one
        };
        let number = digits.parse::<u64>().ok()?.checked_mul(factor)?;
        // What a queue of RouterOS takes.
        (number <= u64::from(u32::MAX) * 100).then_some(number)
    };
    Some((one(up)?, one(down)?))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn request(json: serde_json::Value) -> QueueRequest {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_queue_is_checked_field_by_field() {
        let told = json!({"name": "Office", "target": "10.0.0.9/32, 10.0.0.10", "maxLimit": "512k/1M",
            "burstLimit": "1M/2M"});
        let made = wish(request(told), Wanted::New).unwrap();
        assert_eq!(made.max_limit, Some((512_000, 1_000_000)));
        assert_eq!(made.target.as_deref(), Some("10.0.0.9/32,10.0.0.10"));
        assert_eq!(made.burst_threshold, Some(((256_000, 500_000), (8, 8))));
        assert!(wish(request(json!({})), Wanted::New).is_err());
        let kept = wish(request(json!({"disabled": true})), Wanted::Changed).unwrap();
        assert_eq!(
            (kept.name, kept.max_limit, kept.disabled),
            (None, None, Some(true))
        );
        for wrong in ["5M", "5M/", "a/b", "-1/2", "é/1", "99999999999999999999/1"] {
            assert!(
                wish(request(json!({"maxLimit": wrong})), Wanted::Changed).is_err(),
                "{wrong}"
            );
        }
        assert!(
            wish(
                request(json!({"target": "ether1, ether2"})),
                Wanted::Changed
            )
            .is_err()
        );
    }

    #[test]
    fn an_id_is_one_of_routeros() {
        assert_eq!(id_of("*1a").unwrap(), "*1A");
        for wrong in ["", "*", "1A", "*XYZ", "*123456789", "*1;"] {
            assert!(id_of(wrong).is_err(), "{wrong}");
        }
    }
}
