//! Reading and writing the few integers around record bodies: LEB128 for counts, raw octets for ids.

use uuid::Uuid;

use super::WireError;

/// Splits a LEB128 number of at most 64 bits off `input`.
///
/// Reads untrusted bytes: more than ten octets, or bits beyond 64, are an error.
pub fn split_number(input: &[u8]) -> Result<(u64, &[u8]), WireError> {
    let mut value: u64 = 0;
    let mut rest = input;
    for shift in (0..64).step_by(7) {
        let (octet, tail) = rest.split_first().ok_or(WireError::Truncated)?;
        rest = tail;
        let bits = u64::from(octet & 0x7f);
        if shift == 63 && bits > 1 {
            return Err(WireError::NumberTooLarge);
        }
        value |= bits << shift;
        if octet & 0x80 == 0 {
            return Ok((value, rest));
        }
    }
    Err(WireError::NumberTooLarge)
}

/// Splits a LEB128 number that must fit 16 bits off `input`.
pub fn split_kind(input: &[u8]) -> Result<(u16, &[u8]), WireError> {
    let (value, rest) = split_number(input)?;
    let kind = u16::try_from(value).map_err(|_| WireError::NumberTooLarge)?;
    Ok((kind, rest))
}

/// Splits the 16 octets of an id off `input`.
pub fn split_id(input: &[u8]) -> Result<(Uuid, &[u8]), WireError> {
    let (octets, rest) = input
        .split_first_chunk::<16>()
        .ok_or(WireError::Truncated)?;
    Ok((Uuid::from_bytes(*octets), rest))
}

/// Splits one octet off `input`.
pub fn split_octet(input: &[u8]) -> Result<(u8, &[u8]), WireError> {
    let (octet, rest) = input.split_first().ok_or(WireError::Truncated)?;
    Ok((*octet, rest))
}

/// Splits `length` octets off `input`.
pub fn split_octets(input: &[u8], length: u64) -> Result<(&[u8], &[u8]), WireError> {
    let length = usize::try_from(length).map_err(|_| WireError::Truncated)?;
    input.split_at_checked(length).ok_or(WireError::Truncated)
}

/// Appends `value` as LEB128.
pub fn put_number(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// How many octets [`put_number`] writes for `value`.
pub fn number_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_number_survives_the_trip_and_its_length_is_known(value in any::<u64>()) {
            let mut out = Vec::new();
            put_number(&mut out, value);
            prop_assert_eq!(out.len(), number_len(value));
            out.push(7);
            prop_assert_eq!(split_number(&out), Ok((value, &[7u8][..])));
        }
    }

    #[test]
    fn a_number_beyond_64_bits_is_refused() {
        let mut octets = vec![0xff; 9];
        octets.push(0x02);
        assert_eq!(split_number(&octets), Err(WireError::NumberTooLarge));
        assert_eq!(split_number(&[0x80; 12]), Err(WireError::NumberTooLarge));
        assert_eq!(split_number(&[0x80; 3]), Err(WireError::Truncated));
    }
}
