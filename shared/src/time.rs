//! Instants and the one place that reads the clock.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A stored instant: microseconds since 1970-01-01T00:00:00Z.
///
/// JSON form: `2026-01-31T09:00:00.000Z`. PostgreSQL form: `timestamptz`. SQLite form: integer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Timestamp {
        Timestamp(micros)
    }

    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis.saturating_mul(1_000))
    }

    /// From seconds since the Unix epoch.
    pub const fn from_secs(secs: i64) -> Timestamp {
        Timestamp(secs.saturating_mul(1_000_000))
    }

    /// Microseconds since the Unix epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the Unix epoch.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Whole seconds since the Unix epoch.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This instant moved later; the end of time stays the end of time.
    pub fn plus(self, by: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(micros_of(by)))
    }

    /// This instant moved earlier.
    pub fn minus(self, by: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(micros_of(by)))
    }

    /// How long from `earlier` to this instant; zero when `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Parses an ISO 8601 instant with an offset (`Z` or `+03:00`); `None` for anything else.
    pub fn parse(text: &str) -> Option<Timestamp> {
        let instant: jiff::Timestamp = text.trim().parse().ok()?;
        Some(Timestamp(instant.as_microsecond()))
    }

    /// The same instant for calendar arithmetic. Instants outside years -9999..9999 are clamped.
    pub fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }

    /// From a calendar instant, cut to microseconds.
    pub fn from_jiff(instant: jiff::Timestamp) -> Timestamp {
        Timestamp(instant.as_microsecond())
    }

    /// The date and wall time of this instant in `zone`.
    pub fn in_zone(self, zone: &TimeZone) -> jiff::Zoned {
        self.to_jiff().to_zoned(zone.clone())
    }
}

fn micros_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let utc = self.to_jiff().to_zoned(TimeZone::UTC);
        let millis = utc.subsec_nanosecond() / 1_000_000;
        write!(f, "{}.{millis:03}Z", utc.strftime("%Y-%m-%dT%H:%M:%S"))
    }
}

impl std::fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    /// Text for people's formats, a number of microseconds for postcard.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            Timestamp::parse(&text).ok_or_else(|| {
                serde::de::Error::custom("must be a date and time like 2026-01-31T09:00:00.000Z")
            })
        } else {
            i64::deserialize(deserializer).map(Timestamp)
        }
    }
}

#[cfg(feature = "openapi")]
mod openapi {
    use utoipa::openapi::RefOr;
    use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
    use utoipa::{PartialSchema, ToSchema};

    use super::Timestamp;

    impl PartialSchema for Timestamp {
        fn schema() -> RefOr<Schema> {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
                .examples(["2026-01-31T09:00:00.000Z"])
                .into()
        }
    }

    impl ToSchema for Timestamp {}
}

/// What time it is: the system's clock, or one that a test moves by hand. Cloning shares the clock.
#[derive(Clone, Default)]
pub struct Clock {
    test: Option<Arc<Mutex<TestTime>>>,
}

struct TestTime {
    number: u64,
    now: Timestamp,
    counted: Duration,
    sleepers: Vec<(Until, Waker)>,
}

/// What somebody waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "tokio"),
    expect(dead_code, reason = "sleeping needs a runtime")
)]
enum Until {
    /// That the clock shows this.
    Shown(Timestamp),
    /// That it has counted so far.
    Counted(Duration),
}

impl TestTime {
    fn rest(&self, until: Until) -> Duration {
        match until {
            Until::Shown(at) => at.since(self.now),
            Until::Counted(at) => at.saturating_sub(self.counted),
        }
    }
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Clock {
        Clock { test: None }
    }

    /// Whether it is the system's.
    pub fn is_system(&self) -> bool {
        self.test.is_none()
    }

    /// A clock that stands at `now` until [`Clock::advance`] moves it.
    pub fn test(now: Timestamp) -> Clock {
        Clock {
            test: Some(Arc::new(Mutex::new(TestTime {
                number: CLOCKS.fetch_add(1, Ordering::Relaxed),
                now,
                counted: now.since(Timestamp::default()),
                sleepers: Vec::new(),
            }))),
        }
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        match &self.test {
            Some(test) => locked(test).now,
            None => system_now(),
        }
    }

    /// How long something has run, from a start nobody should ask about: a stepped system clock does
    /// not move it. A test clock counts its own time.
    pub fn monotonic(&self) -> Duration {
        match &self.test {
            Some(test) => locked(test).counted,
            None => START.elapsed(),
        }
    }

    /// Which test clock this is, one for each that was made: who finds it again counts on by its
    /// [`monotonic`](Clock::monotonic). `None` for the system's.
    pub fn number(&self) -> Option<u64> {
        self.test.as_ref().map(|test| locked(test).number)
    }

    /// The same reading, to count deadlines from.
    pub fn instant(&self) -> Instant {
        match &self.test {
            Some(test) => *START + locked(test).counted,
            None => Instant::now(),
        }
    }

    /// Moves a test clock forward and wakes who waits for it.
    ///
    /// # Panics
    /// On the system's clock, which nobody moves.
    pub fn advance(&self, by: Duration) {
        self.change(|time| {
            time.now = time.now.plus(by);
            time.counted = time.counted.saturating_add(by);
        });
    }

    /// Sets a test clock, as a person or a server of time does: what it counts goes on as before.
    ///
    /// # Panics
    /// On the system's clock.
    pub fn set(&self, shown: Timestamp) {
        self.change(|time| time.now = shown);
    }

    /// How far a test clock has to be moved until the first who waits for it has waited long enough; `None`
    /// while nobody waits.
    ///
    /// # Panics
    /// On the system's clock.
    pub fn next_wake(&self) -> Option<Duration> {
        let time = locked(self.by_hand());
        let waits = time.sleepers.iter().map(|(until, _)| time.rest(*until));
        waits.min()
    }

    fn change(&self, change: impl FnOnce(&mut TestTime)) {
        let sleepers = {
            let mut time = locked(self.by_hand());
            change(&mut time);
            std::mem::take(&mut time.sleepers)
        };
        sleepers.into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn by_hand(&self) -> &Mutex<TestTime> {
        let test = self.test.as_ref();
        test.expect("only a test clock is moved by hand")
    }

    /// Waits until this clock shows `at` or later. Safe to drop at any time.
    #[cfg(feature = "tokio")]
    pub async fn sleep_until(&self, at: Timestamp) {
        match &self.test {
            Some(test) => TestSleep::new(test, Until::Shown(at)).await,
            // A sleep is cut into hours so that a stepped system clock is noticed.
            None => loop {
                let rest = at.since(system_now());
                if rest.is_zero() {
                    return;
                }
                tokio::time::sleep(rest.min(Duration::from_secs(3600))).await;
            },
        }
    }

    /// Waits until so much more is counted, whatever the clock is set to meanwhile.
    #[cfg(feature = "tokio")]
    pub async fn sleep(&self, duration: Duration) {
        match &self.test {
            Some(test) => {
                let until = self.monotonic().saturating_add(duration);
                TestSleep::new(test, Until::Counted(until)).await
            }
            None => tokio::time::sleep(duration).await,
        }
    }
}

fn locked(test: &Mutex<TestTime>) -> std::sync::MutexGuard<'_, TestTime> {
    test.lock().expect("a test clock's lock is never poisoned")
}

static CLOCKS: AtomicU64 = AtomicU64::new(0);

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn system_now() -> Timestamp {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => Timestamp(micros_of(since)),
        Err(before) => Timestamp(-micros_of(before.duration())),
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.test.is_some() {
            "Clock(test)"
        } else {
            "Clock(system)"
        })
    }
}

#[cfg_attr(
    not(feature = "tokio"),
    expect(dead_code, reason = "sleeping needs a runtime")
)]
struct TestSleep {
    test: Arc<Mutex<TestTime>>,
    until: Until,
}

#[cfg(feature = "tokio")]
impl TestSleep {
    fn new(test: &Arc<Mutex<TestTime>>, until: Until) -> TestSleep {
        TestSleep {
            test: test.clone(),
            until,
        }
    }
}

impl Future for TestSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut time = locked(&self.test);
        if time.rest(self.until).is_zero() {
            return Poll::Ready(());
        }
        let waits = |(until, waker): &(Until, Waker)| {
            *until == self.until && waker.will_wake(context.waker())
        };
        if !time.sleepers.iter().any(waits) {
            time.sleepers.push((self.until, context.waker().clone()));
        }
        Poll::Pending
    }
}

#[cfg(feature = "sqlx")]
mod postgres {
    use sqlx::encode::IsNull;
    use sqlx::error::BoxDynError;
    use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueFormat, PgValueRef};
    use sqlx::{Decode, Encode, Postgres, Type};

    use super::Timestamp;

    /// Microseconds from 1970-01-01 to 2000-01-01, where PostgreSQL starts to count.
    const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

    impl Type<Postgres> for Timestamp {
        fn type_info() -> PgTypeInfo {
            PgTypeInfo::with_name("timestamptz")
        }
    }

    impl PgHasArrayType for Timestamp {
        fn array_type_info() -> PgTypeInfo {
            PgTypeInfo::with_name("_timestamptz")
        }
    }

    impl Encode<'_, Postgres> for Timestamp {
        fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
            let micros = self.0.saturating_sub(POSTGRES_EPOCH);
            <i64 as Encode<'_, Postgres>>::encode_by_ref(&micros, buffer)
        }
    }

    impl<'r> Decode<'r, Postgres> for Timestamp {
        fn decode(value: PgValueRef<'r>) -> Result<Timestamp, BoxDynError> {
            match value.format() {
                PgValueFormat::Binary => {
                    let micros = <i64 as Decode<'r, Postgres>>::decode(value)?;
                    Ok(Timestamp(micros.saturating_add(POSTGRES_EPOCH)))
                }
                PgValueFormat::Text => {
                    let text = value.as_str()?.replacen(' ', "T", 1);
                    Timestamp::parse(&text).ok_or_else(|| "not an instant".into())
                }
            }
        }
    }
}

#[cfg(feature = "rusqlite")]
mod sqlite {
    use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

    use super::Timestamp;

    impl ToSql for Timestamp {
        fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
            Ok(self.0.into())
        }
    }

    impl FromSql for Timestamp {
        fn column_result(value: ValueRef<'_>) -> FromSqlResult<Timestamp> {
            value.as_i64().map(Timestamp)
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn text_form_has_milliseconds_and_zulu() {
        let instant = Timestamp::parse("2026-01-31T12:00:00.123456+03:00").unwrap();

        assert_eq!(instant.to_string(), "2026-01-31T09:00:00.123Z");
        assert_eq!(
            serde_json::to_string(&instant).unwrap(),
            "\"2026-01-31T09:00:00.123Z\""
        );
    }

    #[test]
    fn dates_without_an_offset_are_refused() {
        assert_eq!(Timestamp::parse("2026-01-31"), None);
        assert_eq!(Timestamp::parse("tomorrow"), None);
    }

    #[test]
    fn a_test_clock_moves_only_by_hand() {
        let clock = Clock::test(Timestamp::from_secs(100));
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.now(), Timestamp::from_secs(105));
    }

    #[test]
    fn a_test_clock_that_is_set_counts_on() {
        let clock = Clock::test(Timestamp::from_secs(100));
        let (counted, instant) = (clock.monotonic(), clock.instant());
        clock.set(Timestamp::from_secs(50));
        assert_eq!(clock.now(), Timestamp::from_secs(50));
        assert_eq!((clock.monotonic(), clock.instant()), (counted, instant));
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.now(), Timestamp::from_secs(55));
        assert_eq!(clock.monotonic(), counted + Duration::from_secs(5));
        assert_eq!(clock.next_wake(), None);
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let end = Timestamp::from_micros(i64::MAX);
        assert_eq!(end.plus(Duration::MAX), end);
        assert_eq!(Timestamp::default().since(end), Duration::ZERO);
        assert!(!end.to_string().is_empty());
    }
}
