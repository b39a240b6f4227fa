//! The load generator: RADIUS over UDP, so many requests outstanding, every answer checked.
//!
//! It fits one core at well over what any server here answers on another: packets are made before the
//! clock runs, and what is left is two system calls and the check of the answer.

pub mod packets;
pub mod storm;
pub mod users;
pub mod wire;

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use easyisp_agent::radius::verify::check_answer;
use easyisp_agent::radius::{Code, Packet, Secret};
use rand::rngs::SmallRng;

use self::packets::{Proof, Requests};
use self::users::User;
use self::wire::{PLACES, Wire};

/// What came of a run.
#[derive(Debug, Default)]
pub struct Tally {
    pub accepted: usize,
    pub rejected: usize,
    pub recorded: usize,
    /// Unanswered within [`GIVE_UP`].
    pub lost: usize,
    /// Datagrams that answer nothing asked, or are not signed as they must be.
    pub wrong: usize,
    pub took: Duration,
    /// Microseconds, in rising order.
    latencies: Vec<u32>,
}

impl Tally {
    /// Right answers a second.
    pub fn rate(&self) -> f64 {
        (self.accepted + self.recorded) as f64 / self.took.as_secs_f64()
    }

    /// The latency that `share` of the answers did not exceed.
    pub fn percentile(&self, share: f64) -> Duration {
        let index = (self.latencies.len() as f64 * share) as usize;
        let last = self.latencies.len().saturating_sub(1);
        let micros = self.latencies.get(index.min(last)).copied();
        Duration::from_micros(micros.unwrap_or_default().into())
    }

    fn take(&mut self, answer: &Packet<'_>) {
        match answer.code() {
            Some(Code::AccessAccept) => self.accepted += 1,
            Some(Code::AccessReject) => self.rejected += 1,
            Some(Code::AccountingResponse) => self.recorded += 1,
            Some(_) | None => self.wrong += 1,
        }
    }
}

const GIVE_UP: Duration = Duration::from_secs(2);

/// How fast to ask.
#[derive(Clone, Copy)]
pub enum Pace {
    /// As fast as answers come, so many outstanding at a time.
    Full(usize),
    /// So many a second, whatever comes back.
    PerSecond(u32),
}

/// Sends in order until the time is over or the requests are.
pub fn run(
    server: SocketAddr,
    requests: &Requests,
    secret: &Secret,
    pace: Pace,
    length: Duration,
) -> Result<Tally> {
    let mut wire = Wire::open(server)?;
    let mut places: Vec<Option<Sent>> = vec![None; PLACES];
    let (mut next, mut oldest, mut outstanding) = (0, 0, 0);
    let mut tally = Tally::default();
    let start = Instant::now();

    while start.elapsed() < length && next < requests.len() {
        let mut burst = 0;
        let may = |next: usize, outstanding: usize| match pace {
            Pace::Full(most) => outstanding < most,
            Pace::PerSecond(rate) => {
                (next as f64) < start.elapsed().as_secs_f64() * f64::from(rate)
            }
        };
        while may(next, outstanding) && next < requests.len() && burst < BURST {
            let place = next % PLACES;
            if places[place].is_some() {
                next += 1; // the one before it is as good as lost
                continue;
            }
            wire.send(place, requests.at(next))?;
            let at = Instant::now();
            places[place] = Some(Sent { request: next, at });
            (next, outstanding, burst) = (next + 1, outstanding + 1, burst + 1);
        }

        let came = wire.receive(|place, datagram| {
            let Some(sent) = places[place] else {
                tally.wrong += 1;
                return;
            };
            match read_answer(datagram, requests.at(sent.request), secret) {
                Some(answer) => {
                    tally.take(&answer);
                    let micros = sent.at.elapsed().as_micros();
                    tally
                        .latencies
                        .push(u32::try_from(micros).unwrap_or(u32::MAX));
                    places[place] = None;
                    outstanding -= 1;
                }
                None => tally.wrong += 1,
            }
        })?;

        while oldest < next {
            let place = &mut places[oldest % PLACES];
            if let Some(sent) = place.filter(|sent| sent.request == oldest) {
                if sent.at.elapsed() < GIVE_UP {
                    break;
                }
                *place = None;
                tally.lost += 1;
                outstanding -= 1;
            }
            oldest += 1;
        }
        if came == 0 && burst == 0 {
            thread::yield_now();
        }
    }

    tally.took = start.elapsed();
    tally.latencies.sort_unstable();
    Ok(tally)
}

/// Sent together before looking for answers.
const BURST: usize = 64;

#[derive(Clone, Copy)]
struct Sent {
    request: usize,
    at: Instant,
}

/// The answer, when it is authentic.
pub fn read_answer<'a>(datagram: &'a [u8], request: &[u8], secret: &Secret) -> Option<Packet<'a>> {
    let answer = Packet::parse(datagram).ok()?;
    let authenticator = request.get(4..20)?.try_into().ok()?;
    check_answer(&answer, authenticator, secret).ok()?;
    Some(answer)
}

/// Proves that a server does what is about to be counted: the right password is let in with its rate,
/// a wrong one is not.
pub fn check(server: SocketAddr, secret: &Secret, patience: Duration) -> Result<()> {
    let mut random: SmallRng = rand::make_rng();
    let start = Instant::now();
    for proof in [Proof::Pap, Proof::Chap, Proof::MsChapV2] {
        let user = User(7);
        let mut ask = |password: &[u8]| -> Result<Option<(Option<Code>, bool)>> {
            let request = packets::login(user, password, proof, 0, &mut random, secret)?;
            let mut wire = Wire::open(server)?;
            wire.send(0, &request)?;
            let sent = Instant::now();
            let mut answered = None;
            while answered.is_none() && sent.elapsed() < Duration::from_secs(3) {
                wire.receive(|_, datagram| {
                    let answer = read_answer(datagram, &request, secret);
                    answered = answer.map(|answer| (answer.code(), carries_rate(&answer)));
                })?;
                thread::sleep(Duration::from_millis(1));
            }
            Ok(answered)
        };
        let right = loop {
            match ask(user.password().as_bytes())? {
                None if start.elapsed() < patience => {}
                answer => break answer,
            }
        };
        let wrong = ask(b"not-the-password")?;
        if right != Some((Some(Code::AccessAccept), true))
            || wrong.is_none_or(|(code, _)| code != Some(Code::AccessReject))
        {
            bail!("{server} answers {proof:?} with {right:?}, and a wrong password with {wrong:?}");
        }
    }
    Ok(())
}

fn carries_rate(accept: &Packet<'_>) -> bool {
    use easyisp_agent::radius::dictionary::mikrotik;

    let rate = accept.first_vendor(mikrotik::VENDOR, mikrotik::RATE_LIMIT);
    rate.is_some_and(|rate| rate.starts_with(users::RATE_LIMIT.as_bytes()))
}
