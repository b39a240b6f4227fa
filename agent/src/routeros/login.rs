//! The two ways in: with the password itself (6.43 and later), or by answering a challenge (before).

use md5::{Digest, Md5};

use super::sentence::Command;

/// The login of 6.43 and later. An older router answers it with a challenge (`=ret=`).
pub fn with_password(user: &str, password: &str) -> Command {
    Command::new("/login")
        .with("name", user)
        .with("password", password)
}

/// Answers the challenge of a router older than 6.43: MD5 over a zero octet, password and challenge.
///
/// `None` when the challenge is no hexadecimal text.
pub fn with_challenge(user: &str, password: &str, challenge: &str) -> Option<Command> {
    let challenge = hex::decode(challenge).ok()?;
    let digest = Md5::new()
        .chain_update([0])
        .chain_update(password)
        .chain_update(challenge)
        .finalize();
    let response = format!("00{}", hex::encode(digest));
    Some(
        Command::new("/login")
            .with("name", user)
            .with("response", response),
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// The manual's own example.
    #[test]
    fn a_challenge_is_answered_as_the_manual_says() {
        let command = with_challenge("admin", "", "93b438ec9b80057c06dd9fe67d56aa9a").unwrap();
        let mut bytes = Vec::new();
        command.encode(1, &mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(text.contains("=response=00e134102a9d330dd7b1849fedfea3cb57"));
        assert!(with_challenge("admin", "", "no hex").is_none());
    }
}
