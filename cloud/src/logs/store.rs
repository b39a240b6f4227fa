//! All SQL on blocks, lines and their words.

use easyisp_shared::id::RouterId;
use easyisp_shared::time::Timestamp;
use uuid::Uuid;

use super::rules::{Block, Line, Mark};
use crate::db::Tx;

/// The router's latest block that is not full, locked.
pub async fn open_block(tx: &mut Tx, router: RouterId, full: i32) -> sqlx::Result<Option<Block>> {
    let found: Option<(Uuid, Timestamp, Timestamp, i32)> = sqlx::query_as(
        "select id, first_at, last_at, lines
           from log_blocks
          where tenant_id = $1 and router_id = $2 and lines < $3
          order by last_at desc
          limit 1
            for update",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(full)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found.map(|(id, first_at, last_at, lines)| Block {
        id,
        first_at,
        last_at,
        lines,
    }))
}

/// Begins a block, or adds to one that is locked: so many lines, within these times, the worst of them so.
pub async fn put_block(
    tx: &mut Tx,
    router: RouterId,
    block: &Block,
    worst: i16,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into log_blocks as b (tenant_id, id, router_id, first_at, last_at, lines, worst)
         values ($1, $2, $3, $4, $5, $6, $7)
             on conflict (tenant_id, id) do update
                set first_at = least(b.first_at, excluded.first_at),
                    last_at = greatest(b.last_at, excluded.last_at),
                    lines = excluded.lines,
                    worst = least(b.worst, excluded.worst)",
    )
    .bind(tx.tenant())
    .bind(block.id)
    .bind(router)
    .bind(block.first_at)
    .bind(block.last_at)
    .bind(block.lines)
    .bind(worst)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Adds lines to a block, the first of them at this place.
pub async fn put_lines(tx: &mut Tx, block: Uuid, first: i32, lines: &[Line]) -> sqlx::Result<()> {
    sqlx::query(
        "insert into router_logs (tenant_id, block_id, line, at, severity, topics, message, missing)
         select $1, $2, $3 + n.place::integer - 1, n.at, n.severity, n.topics, n.message, n.missing
           from unnest($4::timestamptz[], $5::smallint[], $6::text[], $7::text[], $8::bigint[])
                with ordinality as n (at, severity, topics, message, missing, place)",
    )
    .bind(tx.tenant())
    .bind(block)
    .bind(first)
    .bind(lines.iter().map(|line| line.at).collect::<Vec<_>>())
    .bind(lines.iter().map(|line| line.severity).collect::<Vec<_>>())
    .bind(lines.iter().map(|line| line.topics.as_str()).collect::<Vec<_>>())
    .bind(lines.iter().map(|line| line.message.as_str()).collect::<Vec<_>>())
    .bind(lines.iter().map(|line| line.missing).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Adds words to a block.
pub async fn put_words(tx: &mut Tx, block: Uuid, words: &[String]) -> sqlx::Result<()> {
    sqlx::query(
        "insert into log_words (tenant_id, word, block_id)
         select $1, word, $2 from unnest($3::text[]) as word
             on conflict do nothing",
    )
    .bind(tx.tenant())
    .bind(block)
    .bind(words)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Search {
    /// At which router.
    pub router: Option<RouterId>,
    /// From then on.
    pub from: Timestamp,
    /// At least as bad.
    pub severity: i16,
    /// Under this topic.
    pub topic: Option<String>,
    /// The same as a word of blocks.
    pub topic_word: Option<String>,
    /// Blocks have a word from here…
    pub word: Option<String>,
    /// …up to here.
    pub word_end: Option<String>,
    /// What lines are like, all of them.
    pub patterns: Vec<String>,
}

/// Blocks that may hold lines of the search up to `upper`, the latest first: id and latest line.
pub async fn blocks(
    tx: &mut Tx,
    search: &Search,
    upper: Timestamp,
    most: i64,
) -> sqlx::Result<Vec<(Uuid, Timestamp)>> {
    sqlx::query_as(
        "select b.id, b.last_at
           from log_blocks b
          where b.tenant_id = $1
            and ($2::uuid is null or b.router_id = $2)
            and b.last_at >= $3 and b.first_at <= $4
            and b.worst <= $5
            and ($6::text is null
                 or b.id in (select w.block_id from log_words w where w.tenant_id = $1 and w.word = $6))
            and ($7::text is null
                 or b.id in (select w.block_id from log_words w
                              where w.tenant_id = $1 and w.word >= $7 and w.word < $8))
          order by b.last_at desc, b.id
          limit $9",
    )
    .bind(tx.tenant())
    .bind(search.router)
    .bind(search.from)
    .bind(upper)
    .bind(search.severity)
    .bind(&search.topic_word)
    .bind(&search.word)
    .bind(&search.word_end)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// A line as an operator reads it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Row {
    /// When.
    pub at: Timestamp,
    /// Its block.
    pub block_id: Uuid,
    /// Its place there.
    pub line: i32,
    /// At which router.
    pub router_id: RouterId,
    /// What people call it; none for one that is gone.
    pub router_name: Option<String>,
    /// RFC 5424 §6.2.1.
    pub severity: i16,
    /// Separated by commas.
    pub topics: String,
    /// The words.
    pub message: String,
    /// So many lines are not there.
    pub missing: Option<i64>,
}

/// Lines of these blocks that the search means, the latest first: after `floor` where there is one, and before `mark`.
pub async fn lines(
    tx: &mut Tx,
    blocks: &[Uuid],
    search: &Search,
    floor: Option<Timestamp>,
    mark: Mark,
    most: i64,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as(
        "select l.at, l.block_id, l.line, b.router_id, r.name as router_name, l.severity, l.topics, l.message,
                l.missing
           from (select * from router_logs
                  where tenant_id = $1 and block_id = any($2)
                    and at >= $3 and ($4::timestamptz is null or at > $4)
                    and (at, block_id, line) < ($5, $6, $7)
                    and severity <= $8
                    and ($9::text is null or $9 = any(string_to_array(topics, ',')))
                    and message ilike all($10)
                  order by at desc, block_id desc, line desc
                  limit $11) l
           join log_blocks b on b.tenant_id = $1 and b.id = l.block_id
           left join routers r on r.tenant_id = $1 and r.id = b.router_id
          order by l.at desc, l.block_id desc, l.line desc",
    )
    .bind(tx.tenant())
    .bind(blocks)
    .bind(search.from)
    .bind(floor)
    .bind(mark.at)
    .bind(mark.block)
    .bind(mark.line)
    .bind(search.severity)
    .bind(&search.topic)
    .bind(&search.patterns)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// Blocks whose last line is older than `cutoff`, the oldest first, locked.
pub async fn old_blocks(tx: &mut Tx, cutoff: Timestamp, most: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "select id from log_blocks
          where tenant_id = $1 and last_at < $2
          order by last_at
          limit $3
            for update",
    )
    .bind(tx.tenant())
    .bind(cutoff)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// Topics and words of every line of these blocks.
pub async fn messages(tx: &mut Tx, blocks: &[Uuid]) -> sqlx::Result<Vec<(String, String)>> {
    sqlx::query_as(
        "select topics, message from router_logs where tenant_id = $1 and block_id = any($2)",
    )
    .bind(tx.tenant())
    .bind(blocks)
    .fetch_all(&mut **tx)
    .await
}

/// Removes blocks with their lines, and these words of them.
pub async fn forget(tx: &mut Tx, blocks: &[Uuid], words: &[String]) -> sqlx::Result<()> {
    sqlx::query(
        "with words as (delete from log_words
                         where tenant_id = $1 and word = any($3) and block_id = any($2)),
              lines as (delete from router_logs where tenant_id = $1 and block_id = any($2))
         delete from log_blocks where tenant_id = $1 and id = any($2)",
    )
    .bind(tx.tenant())
    .bind(blocks)
    .bind(words)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Removes lines with this name in them, in blocks that have a word from it up to `end`, and those words.
pub async fn forget_named(tx: &mut Tx, name: &str, end: &str) -> sqlx::Result<()> {
    sqlx::query(
        "with named as (select distinct block_id from log_words
                         where tenant_id = $1 and word >= $2 and word < $3),
              words as (delete from log_words
                         where tenant_id = $1 and word >= $2 and word < $3)
         delete from router_logs l
          using named n
          where l.tenant_id = $1 and l.block_id = n.block_id and position($2 in lower(l.message)) > 0",
    )
    .bind(tx.tenant())
    .bind(name)
    .bind(end)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
