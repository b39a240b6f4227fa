//! Sessions of customers who log in nowhere.

use easyisp_shared::id::{CustomerId, RouterId};
use easyisp_shared::line::OURS;
use easyisp_shared::time::Timestamp;

use crate::db::Tx;
use crate::sessions::lines::{Beside, Counted};

#[derive(sqlx::FromRow)]
struct Row {
    customer_id: CustomerId,
    router_id: RouterId,
    acct_session_id: String,
    started_at: Timestamp,
    last_seen_at: Timestamp,
    session_secs: i64,
    bytes_in: i64,
    bytes_out: i64,
}

/// The latest sessions of each of these lines, whichever agent told of them.
pub async fn beside(tx: &mut Tx, lines: &[(CustomerId, RouterId)]) -> sqlx::Result<Vec<Beside>> {
    let customers: Vec<CustomerId> = lines.iter().map(|(customer, _)| *customer).collect();
    let routers: Vec<RouterId> = lines.iter().map(|(_, router)| *router).collect();
    let rows: Vec<Row> = sqlx::query_as(
        "select s.customer_id, s.router_id, s.acct_session_id, s.started_at, s.last_seen_at, s.session_secs,
                s.bytes_in, s.bytes_out
           from unnest($2::uuid[], $3::uuid[]) as l (customer_id, router_id)
          cross join lateral (
                select customer_id, router_id, acct_session_id, started_at, last_seen_at, session_secs,
                       bytes_in, bytes_out
                  from sessions
                 where tenant_id = $1 and customer_id = l.customer_id and router_id = l.router_id
                   and starts_with(acct_session_id, $4)
                 order by started_at desc
                 limit $5) s",
    )
    .bind(tx.tenant())
    .bind(customers)
    .bind(routers)
    .bind(OURS)
    .bind(LATEST)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(Row::read).collect())
}

impl Row {
    fn read(self) -> Beside {
        Beside {
            customer: self.customer_id,
            router: self.router_id,
            session: self.acct_session_id,
            counted: Counted {
                started: self.started_at,
                last_seen: self.last_seen_at,
                session_secs: self.session_secs,
                bytes_in: self.bytes_in,
                bytes_out: self.bytes_out,
            },
        }
    }
}

/// Days of a line that is used now and then: what is told later than that is compared with nothing.
const LATEST: i64 = 64;
