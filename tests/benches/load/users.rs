//! The subscribers of every bench: known by number, so that each server can be given the same ones.

/// What each of them is sold, as MikroTik's Rate-Limit.
pub const RATE_LIMIT: &str = "2M/10M";

/// One subscriber, counted from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User(pub u32);

impl User {
    /// The `turn`th of `users`: a walk that meets each once before any a second time, and no two
    /// neighbours in a row.
    pub fn at(turn: u64, users: u32) -> User {
        let number = (turn % u64::from(users)) * STRIDE % u64::from(users);
        User(u32::try_from(number).unwrap_or_default())
    }

    /// The name dialled with.
    pub fn name(self) -> String {
        format!("user{:06}", self.0)
    }

    /// The clear password.
    pub fn password(self) -> String {
        format!("secret-{:06}", self.0)
    }

    /// The address of the subscriber's own router.
    pub fn mac(self) -> String {
        let [_, a, b, c] = self.0.to_be_bytes();
        format!("02:EA:51:{a:02X}:{b:02X}:{c:02X}")
    }

    /// The address the session has.
    pub fn address(self) -> [u8; 4] {
        let [_, a, b, c] = self.0.to_be_bytes();
        [10, 64 | a, b, c]
    }
}

/// A prime larger than any number of users here, so no two turns of a round meet the same user.
const STRIDE: u64 = 15_485_863;
