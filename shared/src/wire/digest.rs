//! A set of rows in 16 bytes: equal sums mean that site and cloud hold the same rows.
//!
//! The sum modulo 2^128 of keyed row hashes changes in constant time when a row does: take the old
//! row's hash away, add the new one's. The key is the epoch, so a row cannot be crafted beforehand to
//! collide with another.

use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

/// The hash of one row; a tombstone weighs nothing, as if the row were not there.
pub fn row_hash(epoch: Uuid, kind: u16, id: Uuid, version: u64, body: Option<&[u8]>) -> u128 {
    let Some(body) = body else { return 0 };
    let mut mac = Hmac::<Sha256>::new_from_slice(epoch.as_bytes()).expect("any key length is fine");
    mac.update(&kind.to_be_bytes());
    mac.update(id.as_bytes());
    mac.update(&version.to_be_bytes());
    mac.update(body);
    let hash: [u8; 32] = mac.finalize().into_bytes().into();
    let (first, _) = hash.split_first_chunk::<16>().expect("32 is over 16");
    u128::from_be_bytes(*first)
}

/// The sum after a row changed from hash `old` to hash `new`.
pub fn replace(sum: u128, old: u128, new: u128) -> u128 {
    sum.wrapping_sub(old).wrapping_add(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_changes_does_not_matter_and_a_removed_row_leaves_nothing() {
        let epoch = Uuid::from_u128(9);
        let row = |id, version| row_hash(epoch, 1, Uuid::from_u128(id), version, Some(b"state"));

        let one_way = replace(replace(0, 0, row(1, 1)), 0, row(2, 2));
        let other_way = replace(replace(0, 0, row(2, 2)), 0, row(1, 1));
        assert_eq!(one_way, other_way);

        let removed = row_hash(epoch, 1, Uuid::from_u128(2), 3, None);
        assert_eq!(replace(one_way, row(2, 2), removed), row(1, 1));
        assert_ne!(row(1, 1), row(1, 2));
    }
}
