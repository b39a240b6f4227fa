//! From two readings to what goes through: counters wrap, devices restart, clocks of devices do not matter.

use std::time::Duration;

use super::reading::{Counter, Interface, Reading};

/// What goes through an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Through {
    /// Received, bits a second.
    pub in_bps: Option<u64>,
    /// Sent, bits a second.
    pub out_bps: Option<u64>,
    /// Broken packets since the reading before.
    pub errors: u64,
    /// Packets thrown away since then.
    pub drops: u64,
}

/// What went through each of `after`'s interfaces since `before`, in their order.
pub fn through(before: &Reading, after: &Reading, elapsed: Duration) -> Vec<Through> {
    let restarted = restarted(before, after);
    let each = after.interfaces.iter().map(|now| {
        // By name: indexes may change with a restart, and names of subscribers' lines are reused.
        let then = before.interfaces.iter().find(|then| then.name == now.name);
        match then.filter(|then| !restarted && then.index == now.index) {
            Some(then) => between(then, now, elapsed),
            None => Through::default(),
        }
    });
    each.collect()
}

/// Whether the device started anew between two readings: its counters did too.
pub fn restarted(before: &Reading, after: &Reading) -> bool {
    match (before.uptime_ticks, after.uptime_ticks) {
        (Some(before), Some(after)) => after < before && before < u32::MAX - NEAR_WRAP,
        (None, None) => false,
        (Some(_), None) | (None, Some(_)) => true,
    }
}

fn between(then: &Interface, now: &Interface, elapsed: Duration) -> Through {
    let speed = now.speed_bps.filter(|speed| *speed > 0);
    let rate = |then: Option<Counter>, now: Option<Counter>| {
        let octets = grown(then?, now?, speed, elapsed)?;
        per_second(octets, elapsed)
    };
    let since = |then: Option<u64>, now: Option<u64>| match (then, now) {
        (Some(then), Some(now)) => now.saturating_sub(then),
        (Some(_), None) | (None, Some(_) | None) => 0,
    };
    Through {
        in_bps: rate(then.input, now.input),
        out_bps: rate(then.output, now.output),
        errors: since(then.errors, now.errors),
        drops: since(then.drops, now.drops),
    }
}

/// By how many octets a counter grew; `None` where nobody can tell.
///
/// A 32-bit counter that is smaller than before wrapped once, if the line could have filled it; it may have
/// wrapped unseen where a whole turn would fit in the time, and then it says nothing at all.
fn grown(then: Counter, now: Counter, speed_bps: Option<u64>, elapsed: Duration) -> Option<u64> {
    if then.wide != now.wide {
        return None;
    }
    let most = speed_bps.map(|speed| {
        let bits = u128::from(speed) * elapsed.as_millis() / 1000;
        u64::try_from(bits / 8).unwrap_or(u64::MAX)
    });
    if now.wide {
        return now.octets.checked_sub(then.octets);
    }
    if most.is_some_and(|most| most >= TURN) {
        return None;
    }
    let grown = now.octets.wrapping_sub(then.octets) % TURN;
    let wrapped = now.octets < then.octets;
    // Octets are counted in bursts: a little more than the line takes is no reset.
    let credible = most.is_none_or(|most| grown <= most + most / 4 + 1500);
    (!wrapped || (most.is_some() && credible)).then_some(grown)
}

fn per_second(octets: u64, elapsed: Duration) -> Option<u64> {
    let millis = elapsed.as_millis();
    if millis == 0 {
        return None;
    }
    u64::try_from(u128::from(octets) * 8 * 1000 / millis).ok()
}

/// A 32-bit counter has so many values.
const TURN: u64 = 1 << 32;
/// A day, in hundredths of a second.
const NEAR_WRAP: u32 = 8_640_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(ticks: u32, octets: u64, wide: bool, speed: u64) -> Reading {
        let counter = Some(Counter { octets, wide });
        Reading {
            uptime_ticks: Some(ticks),
            interfaces: vec![Interface {
                index: 1,
                name: "ether1".to_owned(),
                speed_bps: Some(speed),
                input: counter,
                output: counter,
                ..Interface::default()
            }],
            ..Reading::default()
        }
    }

    fn rate(
        before: (u32, u64),
        after: (u32, u64),
        wide: bool,
        speed: u64,
        secs: u64,
    ) -> Option<u64> {
        let before = reading(before.0, before.1, wide, speed);
        let after = reading(after.0, after.1, wide, speed);
        through(&before, &after, Duration::from_secs(secs))[0].in_bps
    }

    #[test]
    fn rates_survive_wraps_and_restarts() {
        const GIGABIT: u64 = 1_000_000_000;
        let minute = (100, 6100);
        let wide = |then, now| rate((minute.0, then), (minute.1, now), true, GIGABIT, 60);
        assert_eq!(wide(1000, 1000 + 7500), Some(1000));
        assert_eq!(wide(0, 7_500_000_000), Some(GIGABIT));
        // Only a reset makes a 64-bit counter smaller.
        assert_eq!(wide(1000, 10), None);
        let narrow = |then, now, speed| rate((minute.0, then), (minute.1, now), false, speed, 60);
        assert_eq!(narrow(1000, 1000 + 7500, 10_000_000), Some(1000));
        assert_eq!(narrow(TURN - 100, 7400, 10_000_000), Some(1000));
        // 32 bits cannot tell a minute of a gigabit.
        assert_eq!(narrow(1000, 8500, GIGABIT), None);
        // Smaller, but by more than the line takes: it began anew.
        assert_eq!(narrow(TURN / 2, 10, 10_000_000), None);
        // A restart takes the counters along, whatever they say.
        assert_eq!(rate((9000, 10), (300, 5000), true, GIGABIT, 60), None);
        // 497 days are no restart.
        assert_eq!(
            rate((u32::MAX - 500, 0), (5500, 7500), true, GIGABIT, 60),
            Some(1000)
        );
        assert_eq!(rate((1, 0), (2, 7500), true, GIGABIT, 0), None);
    }
}
