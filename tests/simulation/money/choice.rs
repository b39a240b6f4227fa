//! Which deed it is, and how the payer behaves.

use std::time::Duration;

use easyisp_tests::scenario::{Callback, Paid, Payer, Pin, PinResult, QueryAnswer};
use rand::RngExt;
use uuid::Uuid;

use super::acts::Deed;
use super::{ByHand, Money};

impl Money {
    /// Something that an operator may do.
    pub(super) fn some_deed(&mut self) -> Deed {
        self.keys += 1;
        let key = self.keys;
        let isp = self.random.random_range(0..self.isps.len());
        let person = self.random.random_range(0..self.isps[isp].people.len());
        let cents = self.some_cents(isp, person);
        match self.random.random_range(0..100) {
            0..40 => Deed::Push {
                isp,
                person,
                shillings: (cents / 100).max(1),
                payer: self.some_payer((cents / 100).max(1)),
                key,
            },
            40..52 => Deed::Recharge {
                isp,
                person,
                cents,
                key,
            },
            52..58 => {
                let method = ["CASH", "BANK_TRANSFER", "CARD", "OTHER"][self.below(4)];
                Deed::Record {
                    isp,
                    person,
                    cents,
                    method,
                    key,
                }
            }
            58..68 => {
                let owner = |by_hand: &ByHand| {
                    let mut people = self.isps[isp].people.iter();
                    people.any(|person| person.id == by_hand.customer)
                };
                let mine = self
                    .known
                    .by_hand
                    .iter()
                    .filter(|(_, by_hand)| owner(by_hand));
                let mine: Vec<Uuid> = mine.map(|(id, _)| *id).collect();
                match mine.is_empty() {
                    true => Deed::Recharge {
                        isp,
                        person,
                        cents,
                        key,
                    },
                    false => Deed::TakeBack {
                        isp,
                        payment: mine[self.below(mine.len())],
                    },
                }
            }
            68..78 => self.some_allocation(isp, person, key),
            78..86 => {
                let hotspot = self.isps[isp].people[person].hotspot;
                let of_kind = self.isps[isp].packages.iter().enumerate();
                let of_kind = of_kind.filter(|(_, package)| package.hotspot == hotspot);
                let of_kind: Vec<usize> = of_kind.map(|(nth, _)| nth).collect();
                let package = of_kind[self.below(of_kind.len())];
                Deed::Package {
                    isp,
                    person,
                    package,
                }
            }
            86..89 => {
                let package = self.below(self.isps[isp].packages.len());
                let shillings = [20, 50, 100, 120, 450][self.below(5)];
                Deed::Price {
                    isp,
                    package,
                    shillings,
                }
            }
            89..95 => {
                let code = self.below(self.isps[isp].codes.len());
                let code = self.isps[isp].codes[code].clone();
                Deed::Redeem { isp, person, code }
            }
            _ => Deed::Statement { isp },
        }
    }

    /// Money that waits for a person, or stands with the wrong one.
    fn some_allocation(&mut self, isp: usize, person: usize, key: u64) -> Deed {
        let tenant = self.isps[isp].tenant;
        let of_direct = |receipt: &String| {
            let meant = self.known.meant.get(receipt);
            meant.is_some_and(|meant| meant.tenant == tenant)
                && !self.known.blurred.contains(receipt)
        };
        let mine = self
            .seen
            .payments
            .iter()
            .filter(|(_, paid)| paid.tenant == tenant && paid.stands);
        let mine = mine.filter_map(|(id, paid)| Some((*id, paid.receipt.clone()?, paid.customer)));
        let mine: Vec<_> = mine.filter(|(_, receipt, _)| of_direct(receipt)).collect();
        if mine.is_empty() {
            return Deed::Statement { isp };
        }
        let (payment, receipt, customer) = mine[self.below(mine.len())].clone();
        match customer {
            None => {
                let owner = self.known.meant.get(&receipt).and_then(|meant| meant.owner);
                let mut people = self.isps[isp].people.iter();
                let owner = people.position(|one| Some(one.id) == owner);
                Deed::Allocate {
                    isp,
                    payment,
                    receipt,
                    person: owner.unwrap_or(person),
                    key,
                }
            }
            Some(_) => Deed::MoveOver {
                isp,
                receipt,
                person,
                key,
            },
        }
    }

    pub(super) fn below(&mut self, many: usize) -> usize {
        self.random.random_range(0..many)
    }

    pub(super) fn some_cents(&mut self, isp: usize, person: usize) -> i64 {
        let isp = &self.isps[isp];
        let price = isp.packages[isp.people[person].package].plan.price;
        match self.random.random_range(0..10) {
            0..5 => price,
            5 => price * 2,
            6 => price - 100,
            7 => 1_250,
            8 => 150_000,
            _ => self.random.random_range(1..60_000),
        }
    }

    fn some_payer(&mut self, asked: i64) -> Payer {
        let pin = match self.random.random_range(0..10) {
            0..6 => Pin::After(Duration::ZERO),
            6..9 => Pin::After(Duration::from_secs(self.random.random_range(5..200))),
            _ => Pin::Never,
        };
        let result = match self.random.random_range(0..10) {
            0..8 => PinResult::Paid,
            _ => PinResult::Code([1, 1032, 1037, 2001][self.below(4)]),
        };
        let paid = match self.random.random_range(0..10) {
            0 => Paid::Exactly(format!("{}.50", asked)),
            1 => Paid::Exactly((asked + 1).to_string()),
            2 if asked > 1 => Paid::Exactly((asked - 1).to_string()),
            _ => Paid::Asked,
        };
        let query = match self.random.random_range(0..10) {
            0..7 => QueryAnswer::Honest,
            7 | 8 => QueryAnswer::Error("500.003.02".to_owned()),
            _ => QueryAnswer::Code(4999),
        };
        Payer {
            pin,
            result,
            paid,
            callback: self.some_word(),
            confirmation: self.some_word(),
            query,
            ..Payer::default()
        }
    }

    pub(super) fn some_word(&mut self) -> Callback {
        match self.random.random_range(0..100) {
            0..40 => Callback::Now,
            40..55 => Callback::Late(Duration::from_secs(self.random.random_range(5..4_000))),
            55..70 => Callback::Held,
            70..80 => Callback::Repeated {
                times: self.random.random_range(2..4),
                apart: Duration::from_secs([0, 40][self.below(2)]),
            },
            80..95 => Callback::Never,
            _ => Callback::BeforeAnswer,
        }
    }
}
