//! After a power cut: every subscriber dials at once, and routers resend on a short timer.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use easyisp_agent::radius::dictionary::attribute;
use easyisp_agent::radius::{Code, Packet, Secret};
use rand::rngs::SmallRng;

use super::packets::{Proof, Report, account, login};
use super::read_answer;
use super::users::User;
use super::wire::{PLACES, Wire, identifier};

/// What came of a storm.
#[derive(Debug, Default)]
pub struct Outcome {
    pub online: usize,
    pub took: Duration,
    /// Requests sent again because their answer was late.
    pub resent: usize,
    /// Logins given up after the last resend, or refused: the subscriber had to dial again.
    pub dialled_again: usize,
    /// Starts given up: online, and nobody knows.
    pub starts_lost: usize,
}

/// RouterOS's timer where it is set as short as is commonly seen.
pub const TIMER: Duration = Duration::from_millis(300);
/// How many subscribers a router's radius client has in the air.
pub const AT_ONCE: usize = 1000;
/// RouterOS sends a request and resends it three times.
const TRIES: u32 = 4;

/// Brings `count` of `users` online; `limit` ends what does not end by itself.
pub fn run(
    auth: SocketAddr,
    acct: SocketAddr,
    count: u32,
    first_session: u64,
    secret: &Secret,
    limit: Duration,
) -> Result<Outcome> {
    let mut storm = Storm {
        doors: [Door::open(auth)?, Door::open(acct)?],
        offline: (0..count).map(User).collect(),
        in_the_air: 0,
        sessions: first_session,
        random: rand::make_rng(),
        secret,
        outcome: Outcome::default(),
    };
    let start = Instant::now();
    while storm.outcome.online < count as usize && start.elapsed() < limit {
        let dialled = storm.dial()?;
        let came = storm.listen()?;
        storm.resend()?;
        if dialled == 0 && came == 0 {
            thread::yield_now();
        }
    }
    storm.outcome.took = start.elapsed();
    Ok(storm.outcome)
}

struct Storm<'a> {
    doors: [Door; 2],
    offline: VecDeque<User>,
    in_the_air: usize,
    sessions: u64,
    random: SmallRng,
    secret: &'a Secret,
    outcome: Outcome,
}

const AUTH: usize = 0;
const ACCT: usize = 1;

/// One of the server's two ports.
struct Door {
    wire: Wire,
    asked: Vec<Option<Asked>>,
    free: VecDeque<usize>,
    /// Every timer is equally long, so the first to be set is the first to ring.
    timers: VecDeque<(Instant, usize, u64)>,
}

struct Asked {
    user: User,
    session: u64,
    request: Vec<u8>,
    tries: u32,
}

impl Door {
    fn open(server: SocketAddr) -> Result<Door> {
        Ok(Door {
            wire: Wire::open(server)?,
            asked: (0..PLACES).map(|_| None).collect(),
            free: (0..PLACES).collect(),
            timers: VecDeque::new(),
        })
    }

    fn ask(&mut self, place: usize, asked: Asked) -> Result<()> {
        self.wire.send(place, &asked.request)?;
        self.timers
            .push_back((Instant::now() + TIMER, place, asked.session));
        self.asked[place] = Some(asked);
        Ok(())
    }
}

impl Storm<'_> {
    fn dial(&mut self) -> Result<usize> {
        let mut dialled = 0;
        while self.in_the_air < AT_ONCE && dialled < super::BURST {
            let Some(user) = self.offline.pop_front() else {
                break;
            };
            let Some(place) = self.doors[AUTH].free.pop_front() else {
                self.offline.push_front(user);
                break;
            };
            let request = login(
                user,
                user.password().as_bytes(),
                Proof::Pap,
                identifier(place),
                &mut self.random,
                self.secret,
            )?;
            self.sessions += 1;
            let session = self.sessions;
            let asked = Asked {
                user,
                session,
                request,
                tries: 1,
            };
            self.doors[AUTH].ask(place, asked)?;
            (self.in_the_air, dialled) = (self.in_the_air + 1, dialled + 1);
        }
        Ok(dialled)
    }

    fn listen(&mut self) -> Result<usize> {
        let mut answered = Vec::new();
        let mut came = 0;
        for (which, door) in self.doors.iter_mut().enumerate() {
            let Door {
                wire, asked, free, ..
            } = door;
            came += wire.receive(|place, datagram| {
                let Some(waiting) = &asked[place] else {
                    return; // the answer to an earlier try came first
                };
                let Some(answer) = read_answer(datagram, &waiting.request, self.secret) else {
                    return;
                };
                let class = class_of(&answer);
                answered.extend(
                    asked[place]
                        .take()
                        .map(|was| (which, was, answer.code(), class)),
                );
                free.push_back(place);
            })?;
        }
        for (which, asked, code, class) in answered {
            match (which, code) {
                (AUTH, Some(Code::AccessAccept)) => self.start(asked, &class)?,
                (AUTH, _) => self.dial_again(asked.user),
                (_, _) => self.arrive(),
            }
        }
        Ok(came)
    }

    fn start(&mut self, asked: Asked, class: &[u8]) -> Result<()> {
        let Asked { user, session, .. } = asked;
        let place = self.doors[ACCT].free.pop_front();
        let place = place.expect("more places than subscribers in the air");
        let request = account(
            user,
            session,
            Report::Start,
            class,
            identifier(place),
            self.secret,
        )?;
        let asked = Asked {
            user,
            session,
            request,
            tries: 1,
        };
        self.doors[ACCT].ask(place, asked)
    }

    fn resend(&mut self) -> Result<()> {
        let now = Instant::now();
        for which in [AUTH, ACCT] {
            while let Some((at, place, session)) = self.doors[which].timers.front().copied() {
                if now < at {
                    break;
                }
                self.doors[which].timers.pop_front();
                let Some(mut asked) =
                    self.doors[which].asked[place].take_if(|asked| asked.session == session)
                else {
                    continue;
                };
                if asked.tries < TRIES {
                    asked.tries += 1;
                    self.outcome.resent += 1;
                    self.doors[which].ask(place, asked)?;
                    continue;
                }
                self.doors[which].free.push_back(place);
                if which == AUTH {
                    self.dial_again(asked.user);
                } else {
                    self.outcome.starts_lost += 1;
                    self.arrive();
                }
            }
        }
        Ok(())
    }

    fn arrive(&mut self) {
        self.in_the_air -= 1;
        self.outcome.online += 1;
    }

    fn dial_again(&mut self, user: User) {
        self.in_the_air -= 1;
        self.outcome.dialled_again += 1;
        self.offline.push_back(user);
    }
}

fn class_of(answer: &Packet<'_>) -> Vec<u8> {
    answer.first(attribute::CLASS).unwrap_or_default().to_vec()
}
