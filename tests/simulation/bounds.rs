//! Nothing grows beyond what it may, whatever happens and whoever knocks (V16).

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;

use anyhow::{Result, ensure};
use easyisp_agent::radius::builder::Signature;
use easyisp_agent::radius::client::{Login, Method, access_request};
use easyisp_agent::radius::{Heard, Secret};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::agent::Agent;
use crate::turmoil::Turmoil;

/// Strangers who flood the box once, at a step of the seed's. What they do is drawn apart from everything else, and
/// changes nothing that anybody else sees.
pub struct Strangers {
    random: SmallRng,
    at: usize,
}

impl Strangers {
    /// Somewhere within so many steps.
    pub fn of(seed: u64, steps: usize) -> Strangers {
        let mut random = SmallRng::seed_from_u64(seed ^ APART);
        let at = random.random_range(0..steps);
        Strangers { random, at }
    }

    /// More of them than any table holds, each from an address of his own.
    fn knock(&mut self, agent: &Agent) -> Result<()> {
        let login = Login {
            user_name: b"anna",
            method: Method::Pap { password: b"anna" },
            extra: &[],
            signature: Signature::MessageAuthenticator,
        };
        let secret = Secret::new(b"nobody's");
        let request = access_request(&login, 1, &self.random.random(), &secret)?;
        let heard = Heard::new(Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?), None);
        let radius = &agent.core().radius;
        for _ in 0..MANY {
            let host: u32 = self.random.random_range(..1 << 24);
            let address = Ipv4Addr::from(0x0a00_0000 | host);
            let answer = radius.on_access_port((address, 1812).into(), &request, &heard);
            ensure!(answer.is_none(), "V14: a stranger at {address} is answered");
        }
        Ok(())
    }
}

impl Turmoil {
    /// After a step.
    pub(super) fn nothing_outgrows(&mut self, step: usize) -> Result<()> {
        if !self.powered {
            return Ok(());
        }
        if step >= self.strangers.at {
            self.strangers.at = usize::MAX;
            self.strangers.knock(&self.agent)?;
        }
        for size in self.agent.sizes() {
            ensure!(!size.is_beyond(), "V16: {size:?}");
        }
        Ok(())
    }
}

const MANY: usize = 5_000;
/// So that what is drawn here is not what the seed draws.
const APART: u64 = 0x5652_3136;
