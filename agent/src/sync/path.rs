//! Which way to the cloud is tried next: QUIC, or TLS over TCP where the line lets no UDP through.

use std::time::Duration;

/// A way to the cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// UDP on the port given.
    Quic,
    /// TLS over TCP.
    Tcp {
        /// Another port than the one given.
        port: Option<u16>,
    },
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Path::Quic => f.write_str("QUIC"),
            Path::Tcp { port: None } => f.write_str("TCP"),
            Path::Tcp { port: Some(port) } => write!(f, "TCP on port {port}"),
        }
    }
}

/// How patient the choice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long a way may be silent before the next is tried.
    pub silence: Duration,
    /// How often QUIC is tried again while TCP carries the link.
    pub quic_again: Duration,
    /// The last port tried over TCP: the one that every line lets through.
    pub last_port: u16,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            silence: Duration::from_secs(10),
            quic_again: Duration::from_secs(15 * 60),
            last_port: 443,
        }
    }
}

/// The choice: the last way that worked comes first, then the others in their order.
#[derive(Debug, Clone, Copy)]
pub struct Paths {
    patience: Patience,
    winner: Path,
}

impl Paths {
    /// QUIC first.
    pub fn new(patience: Patience) -> Paths {
        Paths {
            patience,
            winner: Path::Quic,
        }
    }

    /// The ways to try, in order.
    pub fn order(&self) -> [Path; 3] {
        let own = Path::Tcp { port: None };
        let last = Path::Tcp {
            port: Some(self.patience.last_port),
        };
        match self.winner {
            Path::Quic => [Path::Quic, own, last],
            Path::Tcp { port: None } => [own, last, Path::Quic],
            Path::Tcp { port: Some(_) } => [last, own, Path::Quic],
        }
    }

    /// This way led to a link.
    pub fn won(&mut self, path: Path) {
        self.winner = path;
    }

    /// How long a link may stay on the winner before QUIC is tried again; `None` = it is QUIC.
    pub fn look_again(&self) -> Option<Duration> {
        match self.winner {
            Path::Quic => None,
            Path::Tcp { .. } => Some(self.patience.quic_again),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last way, which every line lets through, is tried within two minutes of a silent first one, and all
    /// of them within the half minute in which a link is up again.
    #[test]
    fn a_line_that_swallows_all_but_the_last_port_is_found_out_in_time() {
        let patience = Patience::default();
        let ways = Paths::new(patience).order();
        assert_eq!(
            ways,
            [
                Path::Quic,
                Path::Tcp { port: None },
                Path::Tcp { port: Some(443) }
            ]
        );
        let silent = u32::try_from(ways.len() - 1).unwrap_or(u32::MAX);
        assert!(patience.silence * silent < Duration::from_secs(30));
    }

    #[test]
    fn the_winner_comes_first_and_quic_is_not_forgotten() {
        let mut paths = Paths::new(Patience::default());
        assert_eq!(paths.order()[0], Path::Quic);
        assert_eq!(paths.look_again(), None);

        paths.won(Path::Tcp { port: Some(443) });
        assert_eq!(paths.order()[0], Path::Tcp { port: Some(443) });
        assert!(paths.order().contains(&Path::Quic));
        assert_eq!(paths.look_again(), Some(Duration::from_secs(900)));

        paths.won(Path::Quic);
        assert_eq!(paths.order()[1], Path::Tcp { port: None });
    }
}
