//! What the router writes to its log, and sends on: `/system logging`.

use std::net::IpAddr;

use tokio::net::UdpSocket;

use super::Router;

impl Router {
    /// Something happens that is worth a line, under topics such as `pppoe,info`. It goes to every remote action of the
    /// rules that it fits, in RouterOS's own format; how many that are.
    pub async fn write_log(&self, topics: &str, message: &str) -> std::io::Result<usize> {
        let words = format!("{topics} {message}");
        self.send_log(topics, words.as_bytes()).await
    }

    /// The same with octets of the caller's own.
    pub async fn send_log(&self, topics: &str, datagram: &[u8]) -> std::io::Result<usize> {
        let machine = self.machine();
        let source = IpAddr::V4(self.shared.settings.source);
        let socket = UdpSocket::bind((source, 0)).await?;
        let mut sent = 0;
        for action in machine.rows("/system logging action", "target", "remote") {
            let name = action.get("name").map(String::as_str).unwrap_or_default();
            let rules = machine.rows("/system logging", "action", name);
            let fits = rules.iter().any(|rule| {
                let wanted = rule.get("topics").map(String::as_str).unwrap_or_default();
                fits(wanted, topics)
            });
            let address: Option<IpAddr> = action.get("remote").and_then(|it| it.parse().ok());
            let port = action.get("remote-port").and_then(|it| it.parse().ok());
            let (true, Some(address)) = (fits, address) else {
                continue;
            };
            let to = self.shared.settings.lan.leads(address, port.unwrap_or(514));
            socket.send_to(datagram, to).await?;
            sent += 1;
        }
        Ok(sent)
    }
}

/// Every topic that is asked for, and none that is asked for not to be.
fn fits(wanted: &str, topics: &str) -> bool {
    let has = |topic: &str| topics.split(',').any(|held| held == topic);
    wanted
        .split(',')
        .all(|wanted| match wanted.strip_prefix('!') {
            Some(unwanted) => !has(unwanted),
            None => has(wanted),
        })
}
